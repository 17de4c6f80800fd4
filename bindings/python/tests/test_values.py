"""Messages, results, errors as values: what they are made of, equality, hashes, pickles, how they are shown."""

from __future__ import annotations

import array
import copy
import datetime
import pathlib
import pickle

import pytest

import ferromq
from conftest import FIRST, PATIENCE


def pickles(value):
    """A value after the way through pickle, of each protocol."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert type(again) is type(value)
        yield again
    yield copy.deepcopy(value)


def test_bodies_from_whatever_has_a_buffer():
    big = bytes(range(256)) * 40
    for body in (b"", b"ab", big, bytearray(big), memoryview(big), memoryview(big)[::2], array.array("i", [1, 2])):
        assert ferromq.Message("T", body).body == bytes(body)
    assert ferromq.Message("T", "größe").body == "größe".encode()
    assert ferromq.Message("T").body == b""
    changed = bytearray(b"before")
    message = ferromq.Message("T", changed)
    changed[:] = b"after "
    assert message.body == b"before"
    for wrong in (5, 1.5, ["a"], object()):
        with pytest.raises(TypeError):
            ferromq.Message("T", wrong)


def test_messages():
    message = ferromq.Message("T", b"b", tag="t", keys=["a", "b"], properties={"x": "1"}, delay_level=3, flag=4)
    message = message.replace(sharding_key="s", wait=False)
    assert (message.topic, message.tag, message.keys, message.delay_level) == ("T", "t", ["a", "b"], 3)
    assert (message.flag, message.sharding_key, message.wait, message.properties["x"]) == (4, "s", False, "1")
    other = message.replace(tag=None, keys="k", properties={"y": "2"}, wait=True, delay_level=0, topic="U")
    assert (other.tag, other.keys, other.topic, other.wait, other.delay_level) == (None, ["k"], "U", True, 0)
    assert "x" not in other.properties and other.properties["y"] == "2" and other.sharding_key == "s"
    assert message != other and message == message.replace() and hash(message) == hash(message.replace())
    assert message != "something else" and len({message, message.replace(), other}) == 2
    for again in pickles(message):
        assert again == message and hash(again) == hash(message)
    assert repr(ferromq.Message("T", b"b", tag="t", keys="k")) == "Message('T', b'b', tag='t', keys=['k'])"
    assert "bytes)" in repr(ferromq.Message("T", b"x" * 1000))
    for wrong in ({"keys": "two words"}, {"tag": ""}, {"properties": {"KEYS": "x"}}, {"delay_level": -1}):
        with pytest.raises(ValueError):
            ferromq.Message("T", b"", **wrong)
    with pytest.raises(TypeError, match='no "tga"'):
        message.replace(tga="x")
    with pytest.raises(AttributeError):
        message.topic = "other"


def test_stored_messages_and_results(mq):
    mq.create_topic("T", 1)
    producer = mq.producer("P")
    sent = producer.send("T", b"x" * 3000, tag="t", keys="k", properties={"p": "1"})
    consumer = mq.consumer("G", **FIRST)
    consumer.subscribe("T")
    (message,) = consumer.poll(PATIENCE)
    assert message.body is message.body, "made once"
    for value in (sent, message, sent.queue, sent.status, ferromq.Subscription.sql("T", "a = 1"),
                  ferromq.Subscription.tags("T", "a || b"), ferromq.Subscription.all("T")):  # fmt: skip
        for again in pickles(value):
            assert again == value and hash(again) == hash(value)
    assert message.born_host.startswith("127.0.0.1:") and message.store_timestamp >= message.born_timestamp > 0
    assert str(sent).startswith("SEND_OK msgId=") and repr(sent).startswith("<Sent SEND_OK")
    assert repr(message).startswith(f"<StoredMessage {sent.message_id} T/ferromq/0 at 0: b'xxx")
    assert sent.queue == ferromq.MessageQueue("T", "ferromq", 0) and eval(repr(sent.queue), vars(ferromq)) == sent.queue
    assert sorted([ferromq.MessageQueue("T", "b", 1), ferromq.MessageQueue("T", "a", 2)])[0].queue_id == 2
    transaction = mq.transaction_producer("tx", execute=lambda *_: True, check=lambda _: True).send("T", b"x")
    for again in pickles(transaction):
        assert again == transaction and again.state is ferromq.TransactionState.COMMIT


def test_errors(mq):
    with pytest.raises(ferromq.errors.NotFoundError) as raised:
        mq.queues("Nothing")
    for error in (raised.value, *pickles(raised.value)):
        assert isinstance(error, (ferromq.Error, LookupError)) and error.kind is ferromq.ErrorKind.NOT_FOUND
        assert error.operation == "find topic" and "Nothing" in error.context and not error.is_retriable
        assert str(error) == str(raised.value)
    with ferromq.connect("127.0.0.1:1", connect_timeout_millis=200) as nobody:
        producer = nobody.producer("P")
        with pytest.raises(ferromq.errors.Error) as raised:
            producer.send("T", b"x", timeout=0.3)
    for error in (raised.value, *pickles(raised.value)):
        assert error.topic == "T" and len(error.message_id) == 32 and error.is_retriable, error
        assert isinstance(error, (ConnectionError, TimeoutError))
    with pytest.raises(ferromq.errors.ClosedError):
        producer.send("T", b"x")
    # Every kind has a class of its own, each kind once, and what Python has is what it is.
    classes = [getattr(ferromq.errors, name) for name in ferromq.errors.__all__ if name.endswith("Error")]
    kinds = {one.kind for one in classes if one is not ferromq.Error}
    assert kinds == set(ferromq.ErrorKind) and len(classes) == len(kinds) + 1
    for one in classes:
        for again in pickles(one("text")):
            assert again.kind is one.kind and str(again) == "text"


def test_options(tmp_path):
    with ferromq.open(
        pathlib.Path(tmp_path),
        flush_disk_type="ASYNC_FLUSH",
        messageDelayLevel="1s 2s",
        transaction_check_interval=datetime.timedelta(seconds=2),
        heartbeat_broker_interval=10_000,
        max_message_size=None,
    ) as mq:
        mq.producer("P", send_msg_timeout=500.0, compressType=ferromq.CompressionType.ZSTD).close()
        mq.consumer("G", message_model=ferromq.MessageModel.CLUSTERING, auto_commit=False).close()
        for make, options, told in [
            (mq.producer, {"send_msg_timeot": 1}, "sendMsgTimeout"),
            (mq.producer, {"sendMsgTimeout": -1}, "allowed"),
            (mq.consumer, {"poll_batch": 0}, "allowed"),
            (mq.push_consumer, {"nonsense": 1}, "nonsense"),
        ]:
            with pytest.raises(ferromq.errors.InvalidArgumentError, match=told):
                make("G", **options)
        with pytest.raises(TypeError, match="timedelta"):
            mq.producer("P", send_msg_timeout=0.5)
        for value in [object(), b"500", bytearray(b"500")]:
            with pytest.raises(TypeError):
                mq.producer("P", send_msg_timeout=value)
    mq = ferromq.connect("", namesrv_addr=["127.0.0.1:1", "127.0.0.1:2"])
    assert mq.name_servers == "127.0.0.1:1;127.0.0.1:2"
    mq.close()
    for arguments in [{}, {"path": tmp_path, "memory": True}]:
        with pytest.raises(ValueError, match="one of them"):
            ferromq.open(**arguments)
    with pytest.raises(ValueError):
        ferromq.open(memory=True, listen="nowhere")
    with ferromq.open(memory=True, listen=("127.0.0.1", 0, 0)) as mq:
        assert mq.name_servers == f"127.0.0.1:{mq.listening[0]}"


def test_wrong_arguments(mq):
    producer = mq.producer("P")
    message = ferromq.Message("T", b"x")
    for arguments, options in [
        ((5,), {}),
        ((message, b"body"), {}),
        ((message,), {"tag": "t"}),
        (("T", b"x"), {"tga": "t"}),
        (("T", b"x"), {"queue": 5}),
        (("T", b"x"), {"queue": ferromq.MessageQueue("T", "b", 0), "selector": len}),
    ]:
        with pytest.raises(TypeError):
            producer.send(*arguments, **options)
    for arguments in [("T",), (message,), ([message], [b"x"]), ([b"x"],)]:
        with pytest.raises(TypeError):
            producer.send_batch(*arguments)
    with pytest.raises(ValueError):
        producer.send("T", b"x", timeout=-1)
    with pytest.raises(TypeError):
        mq.transaction_producer("G")
    with pytest.raises(TypeError):
        mq.push_consumer("G").listen(5)
    with pytest.raises(RuntimeError, match="loop"):

        async def listen(messages):
            pass

        mq.push_consumer("G2").listen(listen)
    consumer = mq.push_consumer("G3")
    consumer.listen(print)
    with pytest.raises(ferromq.errors.InvalidArgumentError, match="subscribe"):
        consumer.start()


def test_admin(mq):
    admin = mq.admin()
    admin.create_topic("T", 2, perm=6)
    producer = mq.producer("P")
    for number in range(10):
        producer.send("T", str(number))
    with mq.consumer("G", **FIRST) as consumer:
        consumer.subscribe("T")
        polled = 0
        while polled < 10:
            polled += len(consumer.poll(PATIENCE))
        (member,) = admin.members("G")["members"]
        assert member["clientId"] == mq.client_id
    assert admin.topics() == ["T"] and set(admin.topics()) < set(admin.all_topics()) and "G" in admin.groups()
    figures = admin.topic("T")
    assert figures["messages"] == 10 and sum(queue["maxOffset"] for queue in figures["queues"]) == 10
    assert admin.progress("G")["lag"] == 0
    moved = admin.reset_offsets("G", "T", "begin")
    assert {queue["offset"] for queue in moved} == {0} and admin.progress("G")["lag"] == 10
    admin.reset_offsets("G", "T", 2**40)
    with pytest.raises(ValueError, match="begin"):
        admin.reset_offsets("G", "T", "middle")
    assert [broker["brokerName"] for broker in admin.cluster()["brokers"]] == ["ferromq"]
    admin.delete_group("G")
    admin.delete_topic("T")
    assert admin.topics() == [] and "G" not in admin.groups()
