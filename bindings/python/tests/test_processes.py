"""What Python does to threads and processes: signals, fork, multiprocessing, the interpreter's end, many threads."""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref

import pytest

import ferromq
from conftest import FIRST, PATIENCE, Inbox, eventually

BEGIN = """
import os, sys, threading, time
import ferromq
mq = ferromq.open(memory=True)
mq.create_topic("T", 4)
"""

WAYS_TO_WAIT = {
    "poll": "consumer = mq.consumer('G'); consumer.subscribe('T'); wait = lambda: consumer.poll()",
    "poll with a limit": "consumer = mq.consumer('G'); consumer.subscribe('T'); wait = lambda: consumer.poll(600)",
    "iteration": "consumer = mq.consumer('G'); consumer.subscribe('T'); wait = lambda: next(consumer)",
    "pull": "consumer = mq.consumer(); wait = lambda: consumer.pull(mq.queues('T')[0], 0, timeout=600)",
    "request": "producer = mq.producer('P'); wait = lambda: producer.request('T', b'?', timeout=600)",
    "close": """
consumer = mq.push_consumer('G', consume_from_where='CONSUME_FROM_FIRST_OFFSET'); consumer.subscribe('T')
inside = threading.Event()
consumer.listen(lambda messages: inside.set() or time.sleep(3)); consumer.start()
mq.producer('P').send('T', b'x'); inside.wait()
wait = lambda: consumer.close(600)
""",
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
def test_ctrl_c_ends_a_wait(script, way):
    written, _ = script(
        BEGIN
        + WAYS_TO_WAIT[way]
        + """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
begun = time.monotonic()
try:
    wait()
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - begun < 2.5)
"""
    )
    assert written.split() == ["interrupted", "True"]


def test_a_signal_handler_runs_while_a_poll_waits(script):
    written, _ = script(
        BEGIN
        + """
import signal
consumer = mq.consumer('G', consume_from_where='CONSUME_FROM_FIRST_OFFSET'); consumer.subscribe('T')
producer = mq.producer('P')
signal.signal(signal.SIGUSR1, lambda *_: producer.send('T', b'from the handler'))
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
print(consumer.poll(60)[0].body)
"""
    )
    assert written.strip() == "b'from the handler'"


ENDS = {
    "consumers and producers": """
consumer = mq.push_consumer("G"); consumer.subscribe("T"); consumer.listen(print); consumer.start()
asked = mq.consumer("H"); asked.subscribe("T"); asked.poll(0.1)
mq.producer("P").send("T", b"x")
""",
    "nobody holds them": """
def begin():
    consumer = mq.push_consumer("G"); consumer.subscribe("T"); consumer.listen(print); consumer.start()
begin()
del mq
""",
    "a daemon thread that polls": """
consumer = mq.consumer("G"); consumer.subscribe("T")
def loop():
    while True:
        consumer.poll()
threading.Thread(target=loop, daemon=True).start()
time.sleep(0.2)
""",
    "daemon threads that iterate and send": """
consumer = mq.consumer("G"); consumer.subscribe("T")
def iterate():
    for message in consumer:
        pass
def send():
    producer = mq.producer("P")
    while True:
        producer.send("T", b"x")
for target in [iterate] + [send] * 4:
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.3)
""",
    "a listener that sleeps": """
consumer = mq.push_consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET"); consumer.subscribe("T")
inside = threading.Event()
consumer.listen(lambda messages: inside.set() or time.sleep(1)); consumer.start()
mq.producer("P").send("T", b"x"); inside.wait()
""",
    "busy listeners": """
consumer = mq.push_consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET"); consumer.subscribe("T")
consumer.listen(lambda messages: sum(range(10000)) < 0); consumer.start()
producer = mq.producer("P")
for number in range(2000):
    producer.send("T", b"x")
""",
    "asyncio under way": """
import asyncio
async def main():
    consumer = mq.consumer("G"); consumer.subscribe("T")
    task = asyncio.ensure_future(consumer.poll_async())
    producer = mq.producer("P")
    for number in range(500):
        producer.send_async("T", b"x")
asyncio.run(main())
""",
    "an exception": """
consumer = mq.push_consumer("G"); consumer.subscribe("T"); consumer.listen(print); consumer.start()
sys.exit(0)
""",
    "a log that is busy": """
import logging
logging.basicConfig(level=1, stream=open(os.devnull, "w"))
ferromq.set_log_level("TRACE")
producer = mq.producer("P")
for number in range(300):
    producer.send("T", b"x")
""",
    "callbacks that send": """
producer = mq.producer("P")
def again(sent, error):
    if error is None:
        producer.send_callback("T", b"x", callback=again)
for number in range(20):
    producer.send_callback("T", b"x", callback=again)
time.sleep(0.2)
""",
}


@pytest.mark.parametrize("live", ENDS)
def test_the_interpreter_ends_with_what_lives(script, live):
    begun = time.monotonic()
    _, errors = script(BEGIN + ENDS[live])
    assert time.monotonic() - begun < PATIENCE
    assert "Fatal" not in errors and "panicked" not in errors, errors


def test_a_listener_that_hangs_does_not_keep_the_process(script):
    script(
        BEGIN
        + """
from ferromq import _lifetime
_lifetime.CLOSE_WITHIN = 0.5
consumer = mq.push_consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET"); consumer.subscribe("T")
inside = threading.Event()
consumer.listen(lambda messages: inside.set() or time.sleep(3600)); consumer.start()
mq.producer("P").send("T", b"x"); inside.wait()
"""
    )


def test_what_a_program_forgot_to_close_is_committed_at_its_end(script, tmp_path):
    text = """
import ferromq, sys
mq = ferromq.open(sys.argv[1])
mq.create_topic("T", 1)
mq.producer("P").send("T", sys.argv[2])
consumer = mq.consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET")
consumer.subscribe("T")
print([message.body for message in consumer.poll(60)])
"""
    data = tmp_path / "data"
    assert script(text, data, "one")[0].strip() == "[b'one']"
    assert script(text, data, "two")[0].strip() == "[b'two']"


FORK = (
    BEGIN
    + """
producer, consumer = mq.producer("P"), mq.consumer("G"); consumer.subscribe("T"); consumer.poll(0.05)
push = mq.push_consumer("push"); push.subscribe("T"); push.listen(lambda messages: None); push.start()
producer.send("T", b"parent")
child = os.fork()
if child == 0:
    kinds = []
    for call in (lambda: producer.send("T", b"x"), lambda: consumer.poll(1), lambda: next(consumer), mq.close,
                 lambda: mq.queues("T"), producer.close, push.close, lambda: mq.producer("Q")):
        try:
            call()
            kinds.append("no error")
        except ferromq.Error as error:
            kinds.append(type(error).__name__)
    with ferromq.open(memory=True) as own:
        own.create_topic("T", 1)
        own.producer("P").send("T", b"child")
        with own.consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET") as asked:
            asked.subscribe("T")
            body = asked.poll(60)[0].body
        import asyncio
        async def main():
            return (await own.producer("A").send_async("T", b"async")).status
        status = asyncio.run(main())
    del producer, consumer, push, mq
    print(set(kinds), body, status.name, flush=True)
    sys.exit(0)  # With atexit, as an interpreter ends.
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status))
print(producer.send("T", b"still").status.name, len(consumer.poll(60)) >= 1)
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_fork(script):
    written, errors = script(FORK)
    assert written.splitlines() == ["{'ForkedError'} b'child' OK", "child 0", "OK True"], errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_fork_while_threads_are_busy(script):
    """Locks may be held by threads that the child does not have: it must neither hang nor crash."""
    written, _ = script(
        BEGIN
        + """
import warnings; warnings.simplefilter("ignore")
stop = threading.Event()
def busy():
    producer = mq.producer("P" + str(threading.get_ident()))
    while not stop.is_set():
        producer.send("T", b"x")
for _ in range(4):
    threading.Thread(target=busy).start()
push = mq.push_consumer("push"); push.subscribe("T"); push.listen(lambda messages: None); push.start()
codes = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        try:
            mq.producer("Q")
        except ferromq.errors.ForkedError:
            pass
        with ferromq.open(memory=True) as own:
            own.create_topic("T", 1)
            own.producer("P").send("T", b"child")
        os._exit(7)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            codes.append(os.waitstatus_to_exitcode(status))
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9); os.waitpid(child, 0)
        codes.append("hung")
stop.set()
print(codes)
""",
        timeout=120,
    )
    assert written.strip() == str([7] * 20)


def work(address, number):
    """What a child of multiprocessing does: it connects anew, whatever it inherited."""
    with ferromq.connect(address) as mq, mq.producer("P") as producer:
        return producer.send(ferromq.Message("T", str(number)))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    with ferromq.open(memory=True, listen="free") as mq, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Newer Pythons warn of fork with threads.
        mq.create_topic("T", 4)
        mq.producer("P").send("T", b"parent")
        with multiprocessing.get_context(method).Pool(3) as pool:
            # The results come back pickled.
            results = pool.starmap(work, [(mq.name_servers, number) for number in range(12)])
        assert len({sent.message_id for sent in results}) == 12
        assert sum(mq.max_offset(place) for place in mq.queues("T")) == 13


def open_and_forget(data, sent):
    mq = ferromq.open(data)
    mq.create_topic("T", 1)
    sent.put(mq.producer("P").send("T", b"x"))
    consumer = mq.consumer("G", **FIRST)
    consumer.subscribe("T")
    sent.put(consumer.poll(PATIENCE))
    # One that is dropped commits nothing more; this one lives on.
    globals()["forgotten"] = consumer


def test_a_child_of_multiprocessing_closes_what_it_forgot(tmp_path):
    context = multiprocessing.get_context("spawn")
    sent = context.Queue()
    child = context.Process(target=open_and_forget, args=(str(tmp_path / "data"), sent))
    child.start()
    assert sent.get(timeout=PATIENCE).queue_offset == 0
    assert [message.body for message in sent.get(timeout=PATIENCE)] == [b"x"]
    child.join(PATIENCE)
    assert child.exitcode == 0
    with ferromq.open(tmp_path / "data") as mq:
        assert mq.consumer("G").committed(mq.queues("T")[0]) == 1


def test_a_hundred_threads(mq):
    mq.create_topic("T", 8)
    producer = mq.producer("P")
    consumer = mq.consumer("G", auto_commit=False, **FIRST)
    consumer.subscribe("T")
    inbox, ended, found = Inbox(), threading.Event(), queue.Queue()
    push = mq.push_consumer("push", **FIRST)
    push.subscribe("T")
    push.listen_one(inbox)
    push.start()

    def send(number):
        for step in range(20):
            producer.send("T", f"{number} {step}")

    def receive(_):
        while not ended.is_set():
            for message in consumer.poll(0.05):
                found.put(message.body)

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        receivers = [pool.submit(receive, number) for number in range(30)]
        for sender in [pool.submit(send, number) for number in range(70)]:
            sender.result(PATIENCE)
        try:
            eventually(lambda: found.qsize() >= 1400 and len(inbox.messages) >= 1400)
        finally:
            ended.set()
        for receiver in receivers:
            receiver.result(PATIENCE)
    expected = {f"{number} {step}".encode() for number in range(70) for step in range(20)}
    assert {found.get() for _ in range(found.qsize())} == expected
    assert {message.body for message in inbox.messages} == expected


def test_others_run_while_one_waits(mq):
    """The interpreter's lock is given free around everything that waits."""
    mq.create_topic("T", 1)
    consumer = mq.consumer("G", **FIRST)
    consumer.subscribe("T")
    waiting = threading.Thread(target=lambda: consumer.poll(5))
    waiting.start()
    counted = 0
    while waiting.is_alive() and counted < 50:
        counted += 1
        time.sleep(0.001)
    assert counted == 50
    mq.producer("P").send("T", b"x")
    waiting.join(PATIENCE)


def test_exceptions_in_listeners_are_logged_and_come_again(mq, caplog):
    mq.create_topic("T", 1)
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("T")
    times = queue.Queue()

    @consumer.listen
    def my_listener(messages, context):
        times.put(messages[0].reconsume_times)
        context.set_delay_level(1)
        raise {0: ValueError("first"), 1: SystemExit("second"), 2: KeyboardInterrupt()}[messages[0].reconsume_times]

    consumer.start()
    mq.producer("P").send("T", b"x")
    assert [times.get(timeout=PATIENCE) for _ in range(3)] == [0, 1, 2]
    consumer.close()
    records = [record for record in caplog.records if record.name == "ferromq.listener"]
    assert [record.exc_info[0] for record in records[:3]] == [ValueError, SystemExit, KeyboardInterrupt]
    assert "my_listener" in records[0].getMessage() and "Traceback" in caplog.text


def test_closing_within_listeners_and_callbacks(mq):
    mq.create_topic("T", 1)
    producer, closed = mq.producer("P"), queue.Queue()
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("T")

    @consumer.listen_one
    def listen(message):
        consumer.close()
        closed.put("consumer")

    consumer.start()
    producer.send("T", b"x")
    assert closed.get(timeout=PATIENCE) == "consumer"

    def told(sent, error):
        producer.close()
        mq.close()
        closed.put("instance")

    producer.send_callback("T", b"x", callback=told)
    assert closed.get(timeout=PATIENCE) == "instance"
    mq.close()
    mq.close()
    with pytest.raises(ferromq.errors.ClosedError):
        producer.send("T", b"x")


def test_polls_end_when_another_thread_closes(mq):
    mq.create_topic("T", 1)
    for close in ("consumer", "instance"):
        consumer = mq.consumer(close, **FIRST)
        consumer.subscribe("T")
        consumer.start()
        threading.Timer(0.2, (consumer if close == "consumer" else mq).close).start()
        with pytest.raises(ferromq.errors.ClosedError):
            consumer.poll()
        assert list(consumer) == []


def test_an_exception_in_a_with_block_commits_nothing_more(mq):
    mq.create_topic("T", 1)
    mq.producer("P").send_batch("T", [str(number) for number in range(4)])
    with pytest.raises(ZeroDivisionError):
        with mq.consumer("G", **FIRST) as consumer:
            consumer.subscribe("T")
            for message in consumer:
                if message.body == b"2":
                    1 // 0
    with mq.consumer("G") as consumer:
        consumer.subscribe("T")
        bodies = []
        while len(bodies) < 2:
            bodies += [message.body for message in consumer.poll(PATIENCE)]
        assert bodies == [b"2", b"3"]


def test_what_nobody_holds_goes(mq):
    """Objects that are dropped close, without the interpreter's lock: listeners that run may need it."""
    mq.create_topic("T", 1)
    producer = mq.producer("P")
    gone = weakref.ref(producer)
    del producer
    gc.collect()
    assert gone() is None
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("T")
    inside = threading.Event()
    consumer.listen(lambda messages: inside.set() or time.sleep(0.3))
    consumer.start()
    mq.producer("P").send("T", b"x")
    assert inside.wait(PATIENCE)
    gone = weakref.ref(consumer)
    consumer.close()
    del consumer
    gc.collect()
    assert gone() is None


def test_instances_come_and_go():
    """Threads, descriptors and memory do not add up: over 10,000 lives with `FERROMQ_SOAK=1`."""
    lives = 10_000 if os.environ.get("FERROMQ_SOAK") else 20

    def count():
        return threading.active_count(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

    def once():
        with ferromq.open(memory=True) as mq:
            mq.create_topic("T", 1)
            mq.producer("P").send("T", b"x")
            consumer = mq.push_consumer("G", **FIRST)
            consumer.subscribe("T")
            inbox = Inbox()
            consumer.listen_one(inbox)
            consumer.start()
            inbox.expect(1)

    if not os.path.isdir("/proc/self/task"):
        pytest.skip("there is no /proc")
    for _ in range(3 + lives // 10):
        once()
    before, memory = count(), resident()
    for _ in range(lives):
        once()
    gc.collect()
    after, grown = count(), resident() - memory
    print(f"{lives} lives: threads and descriptors {before} before, {after} after; {grown} KiB more memory")
    assert all(later <= earlier + 2 for earlier, later in zip(before, after)), (before, after)
    # What grows by 2 KiB with each life is seen with 10,000 of them; less is how the allocator uses its pages.
    assert grown < 20 * 1024


def test_sigkill_loses_nothing(tmp_path):
    """What was acknowledged is there after kill -9."""
    text = """
import ferromq, sys
mq = ferromq.open(sys.argv[1])
mq.create_topic("T", 1)
producer = mq.producer("P")
number = 0
while True:
    producer.send("T", str(number))
    print(number, flush=True)
    number += 1
"""
    (tmp_path / "script.py").write_text(text)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "data")]
    acknowledged = -1
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged == 500:
                child.send_signal(signal.SIGKILL)
    with ferromq.open(tmp_path / "data") as mq:
        assert mq.max_offset(mq.queues("T")[0]) > acknowledged >= 500


def test_quick_listeners_get_all_once_while_others_work_and_forks_happen(mq):
    """Calls that are made one after the other in the interpreter hold up neither it nor a fork."""
    count = 3_000
    mq.create_topic("T", 4)
    producer = mq.producer("P")
    seen, done = [], threading.Event()
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("T")

    @consumer.listen_one
    def listen(message):
        seen.append(message.body)
        if len(seen) == count:
            done.set()

    consumer.start()
    for number in range(count):
        producer.send("T", str(number))
        if number % 300 == 0 and hasattr(os, "fork"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert done.wait(PATIENCE)
    consumer.close()
    assert sorted(map(int, seen)) == list(range(count))


def test_a_slow_listener_does_not_hold_up_the_others(mq):
    mq.create_topic("T", 1)
    for number in range(12):
        mq.producer("P").send("T", str(number))
    together, inbox = threading.Barrier(12), Inbox()
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("T")

    @consumer.listen_one
    def listen(message):
        together.wait(PATIENCE)  # Until twelve run at the same time.
        inbox(message)

    consumer.start()
    assert len(inbox.expect(12)) == 12
    consumer.close()


def test_the_installed_package_needs_nothing_else(tmp_path):
    """The interpreter and the package are all there is: no Java, no Rust, no compiler, nothing but the C library."""
    program = tmp_path / "alone.py"
    program.write_text(
        BEGIN
        + """
mq.producer("P").send("T", b"x")
consumer = mq.consumer("G", consume_from_where="CONSUME_FROM_FIRST_OFFSET")
consumer.subscribe("T")
print(next(consumer).body)
mq.close()
"""
    )
    nothing = {"PATH": "/nonexistent"}
    command = [sys.executable, "-I", str(program)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, env=nothing)
    assert (ended.returncode, ended.stdout) == (0, "b'x'\n"), ended.stderr
    native = ferromq._native.__file__
    linked = subprocess.run(["readelf", "-d", native], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", linked)
    own = r"(lib(c|m|gcc_s|pthread|dl|rt)\.so.*|ld-.*)"
    assert needed and not [name for name in needed if not re.fullmatch(own, name)], needed
