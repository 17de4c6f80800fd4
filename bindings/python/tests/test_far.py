"""A queue beyond 2**53 messages, in a log beyond 2**60 bytes: a store of a few messages is moved there."""

from __future__ import annotations

import shutil
import struct

import ferromq
from conftest import FIRST, PATIENCE

MESSAGES = 2**53 + 1
BYTES = 2**60


def move(root):
    """Moves the log and its records; queues and index are made again at the next start."""
    (old,) = (root / "commitlog").iterdir()
    with old.open("r+b") as log:
        at = 0
        while size := struct.unpack(">i", log.read(4))[0]:
            log.seek(at + 20)
            queue_offset, physical_offset = struct.unpack(">qq", log.read(16))
            log.seek(at + 20)
            log.write(struct.pack(">qq", queue_offset + MESSAGES, physical_offset + BYTES))
            at += size
            log.seek(at)
    old.rename(old.with_name(f"{BYTES:020}"))
    shutil.rmtree(root / "consumequeue")
    shutil.rmtree(root / "index")
    (root / "checkpoint").unlink()


def test_a_queue_beyond_what_floats_can_count(tmp_path):
    with ferromq.open(tmp_path) as mq:
        mq.create_topic("Far", 1)
        with mq.producer("P") as producer:
            for number in range(3):
                assert producer.send("Far", str(number)).queue_offset == number
    move(tmp_path)
    with ferromq.open(tmp_path) as mq:
        with mq.producer("P") as producer:
            assert producer.send("Far", "3").queue_offset == MESSAGES + 3
        with mq.consumer("G", **FIRST) as consumer:
            consumer.subscribe("Far")
            got = []
            while len(got) < 4:
                got += consumer.poll(PATIENCE)
        assert [message.queue_offset for message in got] == [MESSAGES + n for n in range(4)]
        assert [message.body for message in got] == [b"0", b"1", b"2", b"3"]
        assert all(message.physical_offset > BYTES for message in got[1:])
