"""A consumer that wants messages whose properties an SQL92 expression holds for. A broker that runs by itself needs
`enablePropertyFilter=true`; an embedded one filters as it is."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group


def run(mq: ferromq.Instance) -> list[str]:
    """Sends messages with a = 0 to 9, wants those up to 3, and returns the values that came."""
    mq.create_topic("TopicTest", 1)
    with mq.producer(producer_group("sql-producers")) as producer:
        for a in range(10):
            producer.send("TopicTest", "body", properties={"a": str(a)})

    arrived: queue.Queue[str] = queue.Queue()
    group = consumer_group("please_rename_unique_group_name_4")
    with mq.push_consumer(group, consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe(ferromq.Subscription.sql("TopicTest", "a between 0 and 3"))

        @consumer.listen_one
        def listen(message: ferromq.StoredMessage) -> None:
            a = message.get("a", "")
            print(f"a = {a}")
            arrived.put(a)

        consumer.start()
        values = [arrived.get(timeout=PATIENCE) for _ in range(4)]
    while not arrived.empty():
        values.append(arrived.get())
    return sorted(values)


if __name__ == "__main__":
    main(run)
