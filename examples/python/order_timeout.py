"""An order that is not paid in time is cancelled: a message that arrives an hour after the order looks whether it was
paid, and gives its goods back if not."""

from __future__ import annotations

import queue
import threading

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe

LEVEL = 17
"""One hour with the broker's default table."""


class Shop:
    """Ten pieces of something, and who ordered one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stock = 10
        self.orders: dict[str, str] = {}

    def show(self) -> None:
        """Prints what there is."""
        with self.lock:
            print(f"{self.stock} pieces, orders {self.orders}")

    def place(self, order: str) -> None:
        """Takes a piece for an order."""
        with self.lock:
            self.stock -= 1
            self.orders[order] = "placed"

    def pay(self, order: str) -> None:
        """The order is paid."""
        with self.lock:
            self.orders[order] = "paid"

    def cancel_unpaid(self, order: str) -> bool:
        """Only an order that is still open: a second delivery finds it cancelled."""
        with self.lock:
            if self.orders.get(order) != "placed":
                return False
            self.orders[order] = "cancelled"
            self.stock += 1
            return True


def run(mq: ferromq.Instance) -> int:
    """Places four orders, of which two are paid; returns the stock of ten after the time is over."""
    mq.create_topic("OrderTimeout", 4)
    shop = Shop()
    with mq.producer(producer_group("shops")) as producer:
        for order in "ABCD":
            shop.place(order)
            producer.send("OrderTimeout", "look", keys=order, delay_level=LEVEL)
    for order in "BD":
        shop.pay(order)
    shop.show()

    arrived: queue.Queue[None] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> None:
        (order,) = message.keys
        if shop.cancel_unpaid(order):
            print(f"order {order} was not paid: cancelled")
        arrived.put(None)

    with subscribe(mq, consumer_group("CID_TIMEOUT"), "OrderTimeout", "*", listen):
        for _ in range(4):
            # With the default table this is an hour.
            arrived.get(timeout=PATIENCE + 3600)
    shop.show()
    return shop.stock


if __name__ == "__main__":
    main(run)
