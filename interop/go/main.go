// Sends and consumes with Apache's Go client and compares contents: main CASE NAMESERVER prints "PASS CASE" or fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	patience = 90 * time.Second
	silence  = 700 * time.Millisecond
)

// run is one case's surroundings: names of its own on one name server.
type run struct {
	ns    primitive.NamesrvAddr
	name  string
	topic string
	group string
}

var cases = map[string]func(*run) error{
	"send":         sendSync,
	"send.async":   sendAsync,
	"send.oneway":  sendOneway,
	"send.batch":   sendBatch,
	"push":         push,
	"push.orderly": pushOrderly,
	"push.tags":    pushTags,
	"retry":        retry,
	"pull":         pull,
}

func main() {
	rlog.SetLogLevel("warn")
	if len(os.Args) != 3 || cases[os.Args[1]] == nil {
		fmt.Println("usage: interop CASE NAMESERVER")
		os.Exit(2)
	}
	name := os.Args[1]
	topic := "go-" + strings.ReplaceAll(name, ".", "-")
	r := &run{ns: primitive.NamesrvAddr{os.Args[2]}, name: name, topic: topic, group: "G-" + topic}
	if err := cases[name](r); err != nil {
		fmt.Printf("FAIL %s: %v\n", name, err)
		os.Exit(1)
	}
	fmt.Printf("PASS %s\n", name)
}

func (r *run) producer(options ...producer.Option) (rocketmq.Producer, error) {
	options = append([]producer.Option{
		producer.WithNameServer(r.ns),
		producer.WithGroupName("P-" + r.topic),
		producer.WithInstanceName("p-" + r.topic + strconv.Itoa(os.Getpid())),
		producer.WithSendMsgTimeout(20 * time.Second),
	}, options...)
	p, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

// messages are told apart by their key; every third has the tag T0, T1, T2.
func (r *run) messages(prefix string, count int) []*primitive.Message {
	var all []*primitive.Message
	for i := 0; i < count; i++ {
		key := fmt.Sprintf("%s-%d", prefix, i)
		m := primitive.NewMessage(r.topic, []byte("body of "+key+" für "+r.topic))
		m.WithKeys([]string{key}).WithTag("T" + strconv.Itoa(i%3))
		m.WithProperty("number", strconv.Itoa(i))
		m.WithProperty("имя", "значение 🚀")
		all = append(all, m)
	}
	return all
}

func same(sent *primitive.Message, got *primitive.MessageExt) error {
	key := sent.GetProperty(primitive.PropertyKeys)
	for name, value := range sent.GetProperties() {
		if name == primitive.PropertyUniqueClientMessageIdKeyIndex || name == primitive.PropertyWaitStoreMsgOk {
			continue
		}
		if got.GetProperty(name) != value {
			return fmt.Errorf("%s: property %s is %q, sent %q", key, name, got.GetProperty(name), value)
		}
	}
	if string(got.Body) != string(sent.Body) {
		return fmt.Errorf("%s: %d bytes of body came back as %d", key, len(sent.Body), len(got.Body))
	}
	if got.Topic != sent.Topic {
		return fmt.Errorf("%s: topic %s, sent to %s", key, got.Topic, sent.Topic)
	}
	return nil
}

// inbox collects what a consumer gets.
type inbox struct {
	sync.Mutex
	got []*primitive.MessageExt
}

func (b *inbox) add(msgs []*primitive.MessageExt) {
	b.Lock()
	defer b.Unlock()
	b.got = append(b.got, msgs...)
}

func (b *inbox) all() []*primitive.MessageExt {
	b.Lock()
	defer b.Unlock()
	return append([]*primitive.MessageExt(nil), b.got...)
}

// expect waits for exactly these messages, each once, and then for silence.
func (b *inbox) expect(sent []*primitive.Message) error {
	for end := time.Now().Add(patience); len(b.all()) < len(sent) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(silence)
	open := map[string]*primitive.Message{}
	for _, m := range sent {
		open[m.GetKeys()] = m
	}
	for _, m := range b.all() {
		s := open[m.GetKeys()]
		if s == nil {
			return fmt.Errorf("%s came twice or was not to come", m.GetKeys())
		}
		if err := same(s, m); err != nil {
			return err
		}
		delete(open, m.GetKeys())
	}
	if len(open) > 0 {
		return fmt.Errorf("%d of %d messages never came", len(open), len(sent))
	}
	return nil
}

type listener func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

func (r *run) consume(group, expression string, listen listener, options ...consumer.Option) (rocketmq.PushConsumer, error) {
	options = append([]consumer.Option{
		consumer.WithNameServer(r.ns),
		consumer.WithGroupName(group),
		consumer.WithInstance("c-" + group + strconv.Itoa(os.Getpid())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)
	c, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	if err := c.Subscribe(r.topic, selector, listen); err != nil {
		return nil, err
	}
	return c, c.Start()
}

func (r *run) collect(group, expression string) (*inbox, rocketmq.PushConsumer, error) {
	box := &inbox{}
	c, err := r.consume(group, expression, func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		box.add(msgs)
		return consumer.ConsumeSuccess, nil
	})
	return box, c, err
}

// received compares what a new group gets with what was sent.
func (r *run) received(sent []*primitive.Message) error {
	box, c, err := r.collect(r.group, "*")
	if err != nil {
		return err
	}
	defer c.Shutdown()
	return box.expect(sent)
}

func sendAll(p rocketmq.Producer, messages []*primitive.Message) error {
	for _, m := range messages {
		result, err := p.SendSync(context.Background(), m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.GetKeys(), err)
		}
		if result.Status != primitive.SendOK || len(result.MsgID) != 32 || len(result.OffsetMsgID) != 32 {
			return fmt.Errorf("%s: result %v", m.GetKeys(), result)
		}
	}
	return nil
}

func sendSync(r *run) error {
	p, err := r.producer(producer.WithCompressMsgBodyOverHowmuch(4096))
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("sync", 20)
	// The client replaces the body by the compressed one.
	large := make([]byte, 100_000)
	for i := range large {
		large[i] = byte(i % 7)
	}
	sent[5].Body = append([]byte(nil), large...)
	if err := sendAll(p, sent); err != nil {
		return err
	}
	sent[5].Body = large
	return r.received(sent)
}

func sendAsync(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("async", 50)
	// The first one makes the topic.
	if err := sendAll(p, sent[:1]); err != nil {
		return err
	}
	results := make(chan error, len(sent))
	for _, m := range sent[1:] {
		err := p.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			if err == nil && result.Status != primitive.SendOK {
				err = fmt.Errorf("result %v", result)
			}
			results <- err
		}, m)
		if err != nil {
			return err
		}
	}
	for range sent[1:] {
		select {
		case err := <-results:
			if err != nil {
				return err
			}
		case <-time.After(patience):
			return errors.New("a callback never came")
		}
	}
	return r.received(sent)
}

func sendOneway(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("oneway", 20)
	if err := sendAll(p, sent[:1]); err != nil {
		return err
	}
	for _, m := range sent[1:] {
		if err := p.SendOneWay(context.Background(), m); err != nil {
			return err
		}
	}
	return r.received(sent)
}

func sendBatch(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("batch", 10)
	result, err := p.SendSync(context.Background(), sent...)
	if err != nil {
		return err
	}
	if result.Status != primitive.SendOK {
		return fmt.Errorf("result %v", result)
	}
	return r.received(sent)
}

// push gets what was sent before and after its start; the group's next consumer goes on behind it.
func push(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("before", 40)
	if err := sendAll(p, sent); err != nil {
		return err
	}
	box, c, err := r.collect(r.group, "*")
	if err != nil {
		return err
	}
	after := r.messages("after", 40)
	if err := sendAll(p, after); err != nil {
		return err
	}
	if err := box.expect(append(sent, after...)); err != nil {
		return err
	}
	if err := c.Shutdown(); err != nil {
		return err
	}
	missed := r.messages("missed", 20)
	if err := sendAll(p, missed); err != nil {
		return err
	}
	return r.received(missed)
}

func pushOrderly(r *run) error {
	p, err := r.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("ordered", 60)
	for i, m := range sent {
		m.WithShardingKey("shard-" + strconv.Itoa(i%4))
	}
	if err := sendAll(p, sent); err != nil {
		return err
	}
	box := &inbox{}
	c, err := r.consume(r.group, "*", func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		box.add(msgs)
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumerOrder(true))
	if err != nil {
		return err
	}
	defer c.Shutdown()
	if err := box.expect(sent); err != nil {
		return err
	}
	next := map[int]int64{}
	for _, m := range box.all() {
		if expected, seen := next[m.Queue.QueueId]; seen && m.QueueOffset != expected {
			return fmt.Errorf("queue %d: offset %d after %d", m.Queue.QueueId, m.QueueOffset, expected-1)
		}
		next[m.Queue.QueueId] = m.QueueOffset + 1
	}
	return nil
}

func pushTags(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("tags", 30)
	if err := sendAll(p, sent); err != nil {
		return err
	}
	box, c, err := r.collect(r.group, "T0 || T2")
	if err != nil {
		return err
	}
	defer c.Shutdown()
	var wanted []*primitive.Message
	for _, m := range sent {
		if m.GetTags() != "T1" {
			wanted = append(wanted, m)
		}
	}
	return box.expect(wanted)
}

// retry fails a message twice; it comes back with a count and its content.
func retry(r *run) error {
	p, err := r.producer()
	if err != nil {
		return err
	}
	defer p.Shutdown()
	sent := r.messages("retry", 3)
	if err := sendAll(p, sent); err != nil {
		return err
	}
	box := &inbox{}
	var mutex sync.Mutex
	var counts []int32
	c, err := r.consume(r.group, "*", func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range msgs {
			if m.GetKeys() == "retry-1" {
				mutex.Lock()
				counts = append(counts, m.ReconsumeTimes)
				mutex.Unlock()
				if m.ReconsumeTimes < 2 {
					return consumer.ConsumeRetryLater, nil
				}
			}
			box.add([]*primitive.MessageExt{m})
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumeMessageBatchMaxSize(1))
	if err != nil {
		return err
	}
	defer c.Shutdown()
	if err := box.expect(sent); err != nil {
		return err
	}
	mutex.Lock()
	defer mutex.Unlock()
	sort.Slice(counts, func(i, j int) bool { return counts[i] < counts[j] })
	if fmt.Sprint(counts) != "[0 1 2]" {
		return fmt.Errorf("reconsume counts %v", counts)
	}
	return nil
}

func pull(r *run) error {
	p, err := r.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	if err != nil {
		return err
	}
	defer p.Shutdown()
	// A message of its own makes the topic; the queue of the others is known from its result.
	first := r.messages("pull", 21)
	var queue *primitive.MessageQueue
	auto, err := r.producer(producer.WithInstanceName("auto-"+r.topic), producer.WithGroupName("PA-"+r.topic))
	if err != nil {
		return err
	}
	defer auto.Shutdown()
	result, err := auto.SendSync(context.Background(), first[0])
	if err != nil {
		return err
	}
	queue = result.MessageQueue
	for _, m := range first[1:] {
		m.Queue = queue
		result, err := p.SendSync(context.Background(), m)
		if err != nil {
			return err
		}
		if result.MessageQueue.QueueId != queue.QueueId {
			return fmt.Errorf("sent to queue %d, asked for %d", result.MessageQueue.QueueId, queue.QueueId)
		}
	}
	c, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(r.ns),
		consumer.WithGroupName(r.group),
		consumer.WithInstance("c-"+r.group+strconv.Itoa(os.Getpid())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return err
	}
	if err := c.Subscribe(r.topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}); err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Shutdown()
	box := &inbox{}
	for end := time.Now().Add(patience); len(box.all()) < len(first) && time.Now().Before(end); {
		found, err := c.PullFrom(context.Background(), queue, int64(len(box.all())), 32)
		if err != nil {
			return err
		}
		if found.Status == primitive.PullFound {
			box.add(found.GetMessageExts())
		}
	}
	return box.expect(first)
}
