"""An order and the message about it, together or not at all. The shop writes the order in its own database; the cart
service clears the cart when it gets the message, which it does if and only if the order was committed. What the cart
service makes of the message is its own business: if it fails it gets the message again, and the order stays."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe


class Orders:
    """The shop's database: which orders were committed, by transaction."""

    def __init__(self) -> None:
        self.committed: dict[str, str] = {}

    def execute(self, message: ferromq.Message, transaction_id: str) -> ferromq.TransactionState:
        """The local transaction, once the broker holds the message back for us."""
        order = message.body.decode()
        if order.endswith("without money"):
            print(f"{order}: rolled back")
            return ferromq.TransactionState.ROLLBACK
        self.committed[transaction_id] = order
        print(f"{order}: committed")
        # The answer may get lost: this one does not give it, so the broker will ask.
        if order.endswith("with a slow answer"):
            return ferromq.TransactionState.UNKNOWN
        return ferromq.TransactionState.COMMIT

    def check(self, message: ferromq.StoredMessage) -> ferromq.TransactionState:
        """The broker asks, this producer or another of the group, perhaps after a crash: look into the database."""
        if message.message_id in self.committed:
            return ferromq.TransactionState.COMMIT
        return ferromq.TransactionState.ROLLBACK


def run(mq: ferromq.Instance) -> set[str]:
    """Places three orders, of which one is rolled back; returns those whose carts were cleared."""
    mq.create_topic("OrdersPlaced", 4)
    arrived: queue.Queue[str] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action:
        order = message.body.decode()
        if message.reconsume_times == 0 and order == "order 1":
            print(f"the cart of {order} is not cleared yet: its service has a problem")
            return ferromq.Action.LATER
        arrived.put(order)
        return ferromq.Action.COMMIT

    # A group of its own: brokers ask any producer of the group how a transaction ended.
    with mq.transaction_producer(producer_group("shop-transactions"), Orders()) as producer:
        for order in ["order 1", "order 2 without money", "order 3 with a slow answer"]:
            # Ask after a second, not after the broker's `transactionTimeOut`.
            sent = producer.send("OrdersPlaced", order, transaction_check_immunity=1)
            print(f"{sent.state.name}: {sent.sent}")

        cleared: set[str] = set()
        with subscribe(mq, consumer_group("CID_CART"), "OrdersPlaced", "*", listen):
            while len(cleared) < 2:
                # Brokers look for answers that are missing every `transactionCheckInterval`: half a minute by default, a
                # minute at 4.9's.
                order = arrived.get(timeout=PATIENCE * 3)
                print(f"the cart of {order} is cleared")
                cleared.add(order)
    while not arrived.empty():
        cleared.add(arrived.get())
    return cleared


if __name__ == "__main__":
    main(run)
