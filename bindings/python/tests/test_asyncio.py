"""The scenario list once more, by asyncio; and what only asyncio has: cancellation."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import ferromq
from conftest import FIRST, PATIENCE


def run(coroutine):
    """Runs a test's coroutine; nothing takes longer than what is sure to happen."""

    async def limited():
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(limited())


async def bodies(consumer, count):
    """So many messages, by `async for`."""
    found = []
    async for message in consumer:
        found.append(message.body.decode())
        if len(found) == count:
            return sorted(found)


def test_send_and_iterate(stage):
    topic = stage.topic()

    async def main():
        async with stage.mq.producer(stage.group("P")) as producer:
            sent = await producer.send_async(topic, b"one", tag="t")
            assert sent.status is ferromq.SendStatus.OK
            results = await asyncio.gather(*(producer.send_async(topic, str(n)) for n in range(200)))
            assert len({result.message_id for result in results}) == 200
            batch = await producer.send_batch_async(topic, ["b0", "b1"])
            assert len(batch.message_ids) == 2
        async with stage.mq.consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic)
            expected = sorted(["one", "b0", "b1", *map(str, range(200))])
            assert await bodies(consumer, 203) == expected
            assert await consumer.poll_async(0.1) == []
        # All of it is committed.
        async with stage.mq.consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic)
            assert await consumer.poll_async(0.5) == []

    run(main())


def test_coroutines_as_listeners(stage):
    topic = stage.topic()

    async def main():
        seen = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with stage.mq.push_consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic)

            @consumer.listen_one
            async def listen(message, context):
                assert asyncio.get_running_loop() is loop
                context.set_delay_level(1)
                await asyncio.sleep(0.01)
                await seen.put((message.body, message.reconsume_times))
                if message.body == b"fails" and message.reconsume_times == 0:
                    raise RuntimeError("not yet")

            await loop.run_in_executor(None, consumer.start)
            async with stage.mq.producer(stage.group("P")) as producer:
                await asyncio.gather(producer.send_async(topic, "fails"), producer.send_async(topic, "works"))
            found = [await seen.get() for _ in range(3)]
        assert sorted(found) == [(b"fails", 0), (b"fails", 1), (b"works", 0)]

    run(main())


def test_a_listener_whose_loop_was_closed_holds_up_nothing(mq):
    mq.create_topic("T", 1)
    asked = threading.Event()

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *arguments, **keywords):
            asked.set()
            return super().call_soon_threadsafe(*arguments, **keywords)

    async def set_up():
        consumer = mq.push_consumer("G", **FIRST)
        consumer.subscribe("T")

        @consumer.listen_one
        async def listen(message):
            pass

        return consumer

    loop = Loop()
    consumer = loop.run_until_complete(set_up())
    asked.clear()
    consumer.start()
    mq.producer("P").send("T", b"x")
    # It waits for a loop that does not run, and never will again.
    assert asked.wait(PATIENCE)
    loop.close()
    consumer.close(PATIENCE)


def test_order(stage):
    topic = stage.topic()

    async def main():
        seen, done = {}, asyncio.Event()
        async with stage.mq.push_consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic)

            @consumer.listen_orderly
            async def listen(messages):
                for message in messages:
                    order, step = message.body.decode().split()
                    seen.setdefault(order, []).append(int(step))
                if sum(map(len, seen.values())) == 40:
                    done.set()

            await asyncio.to_thread(consumer.start)
            producer = stage.mq.producer(stage.group("P"))
            for step in range(10):
                await asyncio.gather(
                    *(producer.send_async(topic, f"{order} {step}", sharding_key=f"o{order}") for order in range(4))
                )
            await done.wait()
        assert seen == {str(order): list(range(10)) for order in range(4)}

    run(main())


def test_filter(stage):
    topic = stage.topic()

    async def main():
        producer = stage.mq.producer(stage.group("P"))
        for tag in "ABCA":
            await producer.send_async(topic, tag, tag=tag)
        async with stage.mq.consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic, "A || C")
            assert await bodies(consumer, 3) == ["A", "A", "C"]
            assert await consumer.poll_async(0.2) == []

    run(main())


def test_transaction(stage):
    topic = stage.topic()

    async def main():
        async def execute(message, transaction_id):
            await asyncio.sleep(0)
            return {b"commit": True, b"rollback": False}.get(message.body)

        async def check(message):
            return ferromq.TransactionState.COMMIT

        async with stage.mq.transaction_producer(stage.group("tx"), execute=execute, check=check) as producer:
            names = [
                (await producer.send_async(topic, body, transaction_check_immunity=1)).state.name
                for body in ("commit", "rollback", "unknown")
            ]
            assert names == ["COMMIT", "ROLLBACK", "UNKNOWN"]
            async with stage.mq.consumer(stage.group(), **FIRST) as consumer:
                consumer.subscribe(topic)
                assert await bodies(consumer, 2) == ["commit", "unknown"]

    run(main())


def test_restart(tmp_path):
    async def main():
        for opened in range(2):
            async with ferromq.open(tmp_path) as mq:
                await asyncio.to_thread(mq.create_topic, "Kept", 2)
                async with mq.producer("P") as producer:
                    await producer.send_async("Kept", str(opened))
                async with mq.consumer("G", **FIRST) as consumer:
                    consumer.subscribe("Kept")
                    assert await bodies(consumer, 1) == [str(opened)]

    run(main())


def test_broadcasting_and_delay(stage, tmp_path):
    topic = stage.topic()

    async def main():
        options = {"message_model": "BROADCASTING", "offset_store_dir": tmp_path, **FIRST}
        async with stage.mq.consumer(stage.group(), **options) as consumer:
            consumer.subscribe(topic)
            producer = stage.mq.producer(stage.group("P"))
            begun = time.monotonic()
            await producer.send_async(topic, "later", delay_level=1)
            await producer.send_async(topic, "now")
            first = await consumer.poll_async(PATIENCE)
            second = await consumer.poll_async(PATIENCE)
            assert [first[0].body, second[0].body] == [b"now", b"later"]
            assert time.monotonic() - begun >= 0.99

    run(main())


def test_request(stage):
    topic = stage.topic(1)

    async def main():
        async with stage.mq.push_consumer(stage.group(), **FIRST) as consumer:
            consumer.subscribe(topic)
            answerer = stage.mq.producer(stage.group("A"))
            consumer.listen_one(lambda message: bool(answerer.reply(message, message.body.upper())))
            await asyncio.to_thread(consumer.start)
            asker = stage.mq.producer(stage.group("P"))
            replies = await asyncio.gather(
                *(asker.request_async(topic, f"question {n}", timeout=PATIENCE) for n in range(5))
            )
            assert sorted(reply.body for reply in replies) == [b"QUESTION %d" % n for n in range(5)]
        with pytest.raises(ferromq.errors.TimeoutError):
            await asker.request_async(topic, "nobody", timeout=0.2)

    run(main())


def test_errors_come_through_the_future(mq):
    async def main():
        producer = mq.producer("P")
        future = producer.send_async("T", b"x" * (5 << 20))
        with pytest.raises(ferromq.errors.LimitExceededError):
            await future
        mq.create_topic("T")
        for _ in range(2):  # With a route that is not known yet, and with one that is.
            with pytest.raises(ZeroDivisionError):
                await producer.send_async("T", b"x", selector=lambda queues, message: 1 // 0)
            producer.send("T", b"x")
        producer.close()
        with pytest.raises(ferromq.errors.ClosedError):
            await producer.send_async("T", b"x")

    run(main())


def test_the_loop_goes_on_while_others_wait(mq):
    """Waiting for messages does not block the loop, nor does it cost anything to speak of."""
    mq.create_topic("T")

    async def main():
        async with mq.consumer("G", **FIRST) as consumer:
            consumer.subscribe("T")
            waits = asyncio.ensure_future(consumer.poll_async())
            ticks = 0
            for _ in range(20):
                await asyncio.sleep(0.01)
                ticks += 1
            assert not waits.done() and ticks == 20
            await mq.producer("P").send_async("T", b"x")
            assert [message.body for message in await waits] == [b"x"]

    run(main())


def test_a_cancelled_poll_takes_no_message(mq):
    """However the cancellation meets the arrival of a message, each is returned exactly once."""
    mq.create_topic("T", 1)

    async def main():
        producer = mq.producer("P")
        found = []
        async with mq.consumer("G", **FIRST) as consumer:
            consumer.subscribe("T")
            await asyncio.to_thread(consumer.start)
            for number in range(300):
                waits = asyncio.ensure_future(consumer.poll_async(count=1))
                await asyncio.sleep(0)
                sent = producer.send_async("T", str(number))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if number % 3 == 0:
                    await sent
                waits.cancel()
                try:
                    found += await waits
                except asyncio.CancelledError:
                    pass
                await sent
            while len(found) < 300:
                polled = await consumer.poll_async(PATIENCE)
                assert polled, f"{300 - len(found)} are lost"
                found += polled
            assert await consumer.poll_async(0.1) == []
        assert [int(message.body) for message in found] == list(range(300))

    run(main())


def test_a_cancelled_send_does_not_disturb(mq):
    mq.create_topic("T")

    async def main():
        producer = mq.producer("P")
        sends = [producer.send_async("T", str(number)) for number in range(100)]
        for send in sends[::2]:
            send.cancel()
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert all(isinstance(result, (ferromq.Sent, asyncio.CancelledError)) for result in results)
        assert (await producer.send_async("T", "after")).status is ferromq.SendStatus.OK

    run(main())


def test_what_is_under_way_at_the_end_is_told(mq):
    """Whatever becomes of it, every future ends."""
    mq.create_topic("T", 1)

    async def main():
        producer = mq.producer("P")
        sends = [producer.send_batch_async("T", ["a", "b"]) for _ in range(200)]
        requests = [producer.request_async("T", "?", timeout=PATIENCE) for _ in range(20)]
        await asyncio.to_thread(mq.close)
        results = await asyncio.gather(*sends, *requests, return_exceptions=True)
        assert all(isinstance(result, (ferromq.Sent, ferromq.Error)) for result in results)
        assert all(isinstance(result, ferromq.errors.ClosedError) for result in results[200:])

    run(main())


def test_timeouts_and_several_waiters(mq):
    mq.create_topic("T", 1)

    async def main():
        async with mq.consumer("G", **FIRST) as consumer:
            consumer.subscribe("T")
            begun = time.monotonic()
            assert await consumer.poll_async(0.2) == []
            assert 0.19 < time.monotonic() - begun
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(consumer.poll_async(), 0.1)
            waiters = [asyncio.ensure_future(consumer.poll_async(count=1)) for _ in range(10)]
            await asyncio.sleep(0.05)
            producer = mq.producer("P")
            await asyncio.gather(*(producer.send_async("T", str(n)) for n in range(10)))
            found = await asyncio.gather(*waiters)
            assert sorted(int(messages[0].body) for messages in found) == list(range(10))

    run(main())


def test_the_end_of_a_consumer_ends_the_iteration(mq):
    mq.create_topic("T")

    async def main():
        consumer = mq.consumer("G", **FIRST)
        consumer.subscribe("T")

        async def iterate():
            async for _ in consumer:
                pass
            return "ended"

        task = asyncio.ensure_future(iterate())
        await asyncio.sleep(0.2)
        await asyncio.to_thread(consumer.close)
        assert await task == "ended"

    run(main())


def test_many_loops(mq):
    """One loop after the other, and some at a time: none gets what is another's."""
    mq.create_topic("T")
    producer = mq.producer("P")

    async def some(count):
        return [await producer.send_async("T", b"x") for _ in range(count)]

    for _ in range(10):
        assert len(run(some(5))) == 5
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [len(sent) for sent in pool.map(lambda _: asyncio.run(some(50)), range(8))] == [50] * 8


def test_a_loop_that_is_closed_with_sends_under_way(mq):
    mq.create_topic("T")
    producer = mq.producer("P")
    loop = asyncio.new_event_loop()

    async def begin():
        for number in range(100):
            producer.send_async("T", str(number))

    loop.run_until_complete(begin())
    loop.close()
    producer.close()
    assert sum(mq.max_offset(queue) for queue in mq.queues("T")) == 100
