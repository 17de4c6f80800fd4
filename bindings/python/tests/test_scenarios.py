"""The scenario list of all languages: send, pull, order, filter, retry, transaction, restart, broadcasting, delay."""

from __future__ import annotations

import queue
import threading
import time

import pytest

import ferromq
from conftest import FIRST, PATIENCE, Inbox, eventually


def consume(stage, topic, expression="*", group="G", **options):
    """A started push consumer with an inbox."""
    inbox = Inbox()
    consumer = stage.mq.push_consumer(stage.group(group), **{**FIRST, **options})
    consumer.subscribe(topic, expression)
    consumer.listen_one(inbox)
    consumer.start()
    return consumer, inbox


def test_send(stage):
    topic = stage.topic()
    told = queue.Queue()
    with stage.mq.producer(stage.group("P")) as producer:
        sent = producer.send(topic, b"sync", tag="t", keys=["k-1", "k-2"], properties={"colour": "red"}, flag=7)
        assert sent.status is ferromq.SendStatus.OK and sent.queue.topic == topic
        producer.send_callback(topic, "callback", callback=lambda *answer: told.put(answer))
        producer.send_oneway(topic, bytearray(b"oneway"))
        batch = producer.send_batch(topic, [b"batch 0", memoryview(b"batch 1")])
        assert len(batch.message_ids) == len(batch.offset_ids) == 2
        message = ferromq.Message(topic, b"queue")
        place = producer.queues(topic)[1]
        assert producer.send(message, queue=place).queue == place
        assert producer.send(message, selector=lambda queues, message: queues.index(place)).queue == place
        assert told.get(timeout=PATIENCE)[1] is None
    consumer, inbox = consume(stage, topic)
    expected = ["batch 0", "batch 1", "callback", "oneway", "queue", "queue", "sync"]
    assert inbox.expect(7) == expected
    found = next(one for one in inbox.messages if one.body == b"sync")
    assert (found.message_id, found.tag, found.keys, found.flag) == (sent.message_id, "t", ["k-1", "k-2"], 7)
    assert found.user_properties == {"colour": "red"} and found.get("colour") == "red" and found.get("no", 1) == 1
    assert found.queue == sent.queue and found.queue_offset == sent.queue_offset
    assert stage.mq.message_by_id(sent.offset_id).body == b"sync"
    consumer.close()


def test_pull(stage):
    topic = stage.topic(2)
    producer = stage.mq.producer(stage.group("P"))
    place = producer.queues(topic)[0]
    for number in range(50):
        producer.send(topic, str(number), queue=place, tag="even" if number % 2 == 0 else "odd")
    consumer = stage.mq.consumer()
    bodies, offset = [], 0
    while True:
        pulled = consumer.pull(place, offset, count=8)
        if pulled.status is ferromq.PullStatus.NO_NEW_MESSAGES:
            break
        bodies += [int(message.body) for message in pulled.messages]
        offset = pulled.next
    assert bodies == list(range(50)) and (pulled.min, pulled.max) == (0, 50)
    even = consumer.pull(place, 0, subscription=ferromq.Subscription.tags(topic, "even"), count=5)
    assert [int(message.body) for message in even.messages] == [0, 2, 4, 6, 8]
    assert consumer.pull(place, 51).status is ferromq.PullStatus.OFFSET_ILLEGAL
    # By poll and by iteration, with commits.
    with stage.mq.consumer(stage.group("polls"), **FIRST) as polls:
        polls.subscribe(topic)
        polled = []
        while len(polled) < 30:
            polled += [int(message.body) for message in polls.poll(PATIENCE, count=3)]
        polls.commit()
    with stage.mq.consumer(stage.group("polls"), **FIRST) as polls:
        polls.subscribe(topic)
        for message in polls:
            polled.append(int(message.body))
            if len(polled) == 50:
                break
        assert polls.poll(0.2) == []
        place = next(one for one in polls.queues() if one == place)
        polls.seek(place, 48)
        assert [int(message.body) for message in polls.poll(PATIENCE)] == [48, 49]
    assert polled == list(range(50))


def test_order(stage):
    topic = stage.topic()
    producer = stage.mq.producer(stage.group("P"))
    for step in range(10):
        for order in range(8):
            producer.send(topic, f"{order} {step}", sharding_key=f"order-{order}")
    seen, failed, done = {}, set(), threading.Event()
    consumer = stage.mq.push_consumer(stage.group(), suspend_current_queue_time_millis=50, **FIRST)
    consumer.subscribe(topic)

    @consumer.listen_orderly
    def listen(messages, context):
        for message in messages:
            assert message.queue == context.queue
            order, step = message.body.decode().split()
            if step == "3" and order not in failed:
                failed.add(order)
                return ferromq.OrderlyStatus.SUSPEND_CURRENT_QUEUE
            seen.setdefault(order, []).append(int(step))
        if sum(map(len, seen.values())) >= 80:
            done.set()

    consumer.start()
    assert done.wait(PATIENCE)
    consumer.close()
    assert seen == {str(order): list(range(10)) for order in range(8)}


def test_filter(stage):
    topic = stage.topic()
    with stage.mq.producer(stage.group("P")) as producer:
        for tag in ["A", "B", "C", None]:
            producer.send(topic, str(tag), tag=tag)
        for number in range(6):
            producer.send(topic, f"a {number}", properties={"a": str(number)})
    consumer, inbox = consume(stage, topic, "A || C")
    assert inbox.expect(2) == ["A", "C"]
    consumer.close()
    assert len(inbox.messages) == 2
    by_sql = Inbox()
    consumer = stage.mq.push_consumer(stage.group("sql"), **FIRST)
    consumer.subscribe(ferromq.Subscription.sql(topic, "a between 1 and 3"))
    consumer.listen_one(by_sql)
    try:
        consumer.start()
    except ferromq.Error as error:
        # A broker may have it switched off, and says so.
        assert "sql" in str(error).lower()
        return
    assert by_sql.expect(3) == ["a 1", "a 2", "a 3"]
    consumer.close()


@pytest.mark.parametrize("answer", [False, ferromq.Action.LATER, "ReconsumeLater", RuntimeError("not yet"), 42])
def test_retry(stage, answer):
    topic = stage.topic(1)
    stage.mq.producer(stage.group("P")).send(topic, b"again")
    times = queue.Queue()
    consumer = stage.mq.push_consumer(stage.group(), **FIRST)
    consumer.subscribe(topic)

    @consumer.listen_one
    def listen(message, context):
        times.put(message.reconsume_times)
        if message.reconsume_times == 0:
            context.set_delay_level(1)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return None

    consumer.start()
    assert [times.get(timeout=PATIENCE), times.get(timeout=PATIENCE)] == [0, 1]
    consumer.close()
    assert times.empty()


def test_transaction(stage):
    topic = stage.topic()
    committed = {}

    class Orders:
        def execute(self, message, transaction_id):
            if b"fails" in message.body:
                raise RuntimeError("the database is away")
            committed[transaction_id] = message.body
            return {b"commit": True, b"rollback": False}.get(message.body)

        def check(self, message):
            known = message.message_id in committed
            return ferromq.TransactionState.COMMIT if known else ferromq.TransactionState.ROLLBACK

    consumer, inbox = consume(stage, topic)
    with stage.mq.transaction_producer(stage.group("tx"), Orders()) as producer:
        states = [
            producer.send(topic, body, transaction_check_immunity=1).state.name
            for body in ("commit", "rollback", "unknown", "fails")
        ]
        assert states == ["COMMIT", "ROLLBACK", "UNKNOWN", "UNKNOWN"]
        own = producer.send(topic, "own", execute=lambda message, transaction_id: True)
        assert own.state is ferromq.TransactionState.COMMIT and own.sent.status is ferromq.SendStatus.OK
        # The broker asks about what it does not know.
        assert inbox.expect(3) == ["commit", "own", "unknown"]
    consumer.close()
    assert len(inbox.messages) == 3


def test_restart(tmp_path):
    """Closed and opened again, a directory has its messages and offsets."""
    for opened in range(3):
        with ferromq.open(tmp_path / "data") as mq:
            mq.create_topic("Kept", 2)
            with pytest.raises(ferromq.errors.InUseError):
                ferromq.open(tmp_path / "data")
            with mq.producer("P") as producer:
                for number in range(10):
                    producer.send("Kept", f"{opened} {number}")
            with mq.consumer("G", **FIRST) as consumer:
                consumer.subscribe("Kept")
                bodies = []
                while len(bodies) < 10:
                    bodies += [message.body.decode() for message in consumer.poll(PATIENCE)]
                # Those of the time before are consumed.
                assert sorted(bodies) == [f"{opened} {number}" for number in range(10)]
            assert sum(mq.max_offset(place) for place in mq.queues("Kept")) == 10 * (opened + 1)


def test_broadcasting(stage, tmp_path):
    topic = stage.topic()
    options = {"message_model": ferromq.MessageModel.BROADCASTING, "offset_store_dir": tmp_path}
    second = stage.connect()
    inboxes = []
    for number, mq in enumerate([stage.mq] if second is stage.mq else [stage.mq, second]):
        inbox = Inbox()
        consumer = mq.push_consumer(stage.group(), **{**FIRST, **options, "offset_store_dir": tmp_path / str(number)})
        consumer.subscribe(topic)
        consumer.listen_one(inbox)
        consumer.start()
        inboxes.append(inbox)
    with stage.mq.producer(stage.group("P")) as producer:
        for number in range(5):
            producer.send(topic, str(number))
    for inbox in inboxes:
        assert inbox.expect(5) == ["0", "1", "2", "3", "4"]
    if second is not stage.mq:
        second.close()


def test_delay(stage):
    topic = stage.topic()
    consumer, inbox = consume(stage, topic)
    with stage.mq.producer(stage.group("P")) as producer:
        sent_at = time.time()
        producer.send(topic, b"later", delay_level=1)
        producer.send(topic, b"now")
    assert inbox.expect(2) == ["later", "now"]
    later = next(message for message in inbox.messages if message.body == b"later")
    assert later.store_timestamp - int(sent_at * 1000) >= 990 and time.time() - sent_at >= 0.99
    consumer.close()


def test_request_and_reply(stage):
    topic = stage.topic(1)
    consumer = stage.mq.push_consumer(stage.group(), **FIRST)
    consumer.subscribe(topic)
    answerer = stage.mq.producer(stage.group("A"))
    consumer.listen_one(lambda message: answerer.reply(message, message.body.upper()) and None)
    consumer.start()
    asker = stage.mq.producer(stage.group("P"))
    assert asker.request(topic, b"question", timeout=PATIENCE).body == b"QUESTION"
    consumer.close()
    with pytest.raises(TimeoutError):
        asker.request(topic, b"nobody", timeout=0.3)


def test_suspended_and_kept_alive(stage):
    topic = stage.topic(1)
    inbox = Inbox()

    def begin():
        consumer = stage.mq.push_consumer(stage.group(), **FIRST)
        consumer.subscribe(topic)
        consumer.listen(lambda messages: [inbox(message) for message in messages] and None)
        consumer.start()
        # Nobody holds it from here on; it runs as a thread would.

    begin()
    with stage.mq.producer(stage.group("P")) as producer:
        producer.send(topic, b"one")
    assert inbox.expect(1) == ["one"]


def test_ack_index(mq):
    mq.create_topic("T", 1)
    mq.producer("P").send_batch("T", [str(number) for number in range(8)])
    seen = []
    consumer = mq.push_consumer("G", consume_message_batch_max_size=8, **FIRST)
    consumer.subscribe("T")

    @consumer.listen
    def listen(messages, context):
        seen.extend((message.body.decode(), message.reconsume_times) for message in messages)
        if messages[0].reconsume_times == 0:
            context.set_ack_index(len(messages) - 2)

    consumer.start()
    eventually(lambda: ("7", 1) in seen)
    assert [body for body, times in seen if times == 0] == [str(number) for number in range(8)]
    consumer.close()
