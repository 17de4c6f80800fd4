import asyncio
import datetime
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Protocol, SupportsFloat, SupportsIndex, TypeVar, final, overload

from typing_extensions import Buffer, TypeAlias

from .enums import Action, ConsumeStatus, OrderlyStatus, PullStatus, SendStatus, TransactionState
from .errors import Error

__all__ = [
    "Admin",
    "ConsumeContext",
    "Consumer",
    "Instance",
    "Message",
    "MessageQueue",
    "OrderlyContext",
    "Polling",
    "Producer",
    "Pulled",
    "PushConsumer",
    "Sent",
    "StoredMessage",
    "Subscription",
    "TransactionProducer",
    "TransactionSent",
    "__version__",
    "_after_fork",
    "_before_fork",
    "_connect",
    "_open",
    "_set_level",
    "_stop",
]

__version__: Final[str]

_T = TypeVar("_T")
_Body: TypeAlias = Buffer | str
_Seconds: TypeAlias = SupportsFloat | SupportsIndex | datetime.timedelta
_Texts: TypeAlias = str | Iterable[str]
_Selector: TypeAlias = Callable[[list[MessageQueue], Message], int]
_Told: TypeAlias = Callable[[Sent | None, Error | None], object]
_Answer: TypeAlias = bool | ConsumeStatus | Action | None
_OrderlyAnswer: TypeAlias = bool | OrderlyStatus | None
_Decision: TypeAlias = bool | TransactionState | None

class _TransactionListener(Protocol):
    def execute(self, message: Message, transaction_id: str, /) -> _Decision | Awaitable[_Decision]: ...
    def check(self, message: StoredMessage, /) -> _Decision | Awaitable[_Decision]: ...

_ListenerT = TypeVar(
    "_ListenerT",
    bound=Callable[[list[StoredMessage]], _Answer | Awaitable[_Answer]]
    | Callable[[list[StoredMessage], ConsumeContext], _Answer | Awaitable[_Answer]],
)
_OneListenerT = TypeVar(
    "_OneListenerT",
    bound=Callable[[StoredMessage], _Answer | Awaitable[_Answer]]
    | Callable[[StoredMessage, ConsumeContext], _Answer | Awaitable[_Answer]],
)
_OrderlyListenerT = TypeVar(
    "_OrderlyListenerT",
    bound=Callable[[list[StoredMessage]], _OrderlyAnswer | Awaitable[_OrderlyAnswer]]
    | Callable[[list[StoredMessage], OrderlyContext], _OrderlyAnswer | Awaitable[_OrderlyAnswer]],
)

@final
class Message:
    def __new__(
        cls,
        topic: str,
        body: _Body | None = None,
        *,
        tag: str | None = None,
        keys: _Texts | None = None,
        properties: Mapping[str, str] | None = None,
        flag: int = 0,
        delay_level: int = 0,
        sharding_key: str | None = None,
        wait: bool = True,
        transaction_check_immunity: int | None = None,
    ) -> Message: ...
    @staticmethod
    def reply_to(request: StoredMessage, body: _Body) -> Message: ...
    def replace(
        self,
        *,
        topic: str = ...,
        body: _Body = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> Message: ...
    @property
    def topic(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def properties(self) -> dict[str, str]: ...
    @property
    def flag(self) -> int: ...
    @property
    def delay_level(self) -> int: ...
    @property
    def sharding_key(self) -> str | None: ...
    @property
    def wait(self) -> bool: ...
    @staticmethod
    def _restore(topic: str, body: _Body, flag: int, properties: dict[str, str]) -> Message: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class StoredMessage:
    @property
    def topic(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def flag(self) -> int: ...
    @property
    def properties(self) -> dict[str, str]: ...
    @property
    def user_properties(self) -> dict[str, str]: ...
    @property
    def message_id(self) -> str: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def broker_name(self) -> str: ...
    @property
    def queue(self) -> MessageQueue: ...
    @property
    def queue_id(self) -> int: ...
    @property
    def queue_offset(self) -> int: ...
    @property
    def physical_offset(self) -> int: ...
    @property
    def offset_id(self) -> str: ...
    @property
    def sys_flag(self) -> int: ...
    @property
    def born_timestamp(self) -> int: ...
    @property
    def born_host(self) -> str: ...
    @property
    def store_timestamp(self) -> int: ...
    @property
    def reconsume_times(self) -> int: ...
    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: _T) -> str | _T: ...
    @staticmethod
    def _restore(
        names: tuple[str, str, str, str],
        numbers: tuple[int, int, int, int, int, int, int, int],
        body: _Body,
        properties: dict[str, str],
    ) -> StoredMessage: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class MessageQueue:
    def __new__(cls, topic: str, broker_name: str, queue_id: int) -> MessageQueue: ...
    @property
    def topic(self) -> str: ...
    @property
    def broker_name(self) -> str: ...
    @property
    def queue_id(self) -> int: ...
    def __lt__(self, value: MessageQueue, /) -> bool: ...
    def __le__(self, value: MessageQueue, /) -> bool: ...
    def __gt__(self, value: MessageQueue, /) -> bool: ...
    def __ge__(self, value: MessageQueue, /) -> bool: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Sent:
    @property
    def status(self) -> SendStatus: ...
    @property
    def message_id(self) -> str: ...
    @property
    def message_ids(self) -> list[str]: ...
    @property
    def offset_id(self) -> str: ...
    @property
    def offset_ids(self) -> list[str]: ...
    @property
    def queue(self) -> MessageQueue: ...
    @property
    def queue_offset(self) -> int: ...
    @staticmethod
    def _restore(
        status: SendStatus, message_id: str, offset_id: str, queue: MessageQueue, queue_offset: int
    ) -> Sent: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class TransactionSent:
    @property
    def sent(self) -> Sent: ...
    @property
    def state(self) -> TransactionState: ...
    @staticmethod
    def _restore(sent: Sent, state: TransactionState) -> TransactionSent: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Subscription:
    @staticmethod
    def all(topic: str) -> Subscription: ...
    @staticmethod
    def tags(topic: str, expression: str) -> Subscription: ...
    @staticmethod
    def sql(topic: str, expression: str) -> Subscription: ...
    @property
    def topic(self) -> str: ...
    @property
    def expression(self) -> str: ...
    @property
    def expression_type(self) -> Literal['TAG', 'SQL92']: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Pulled:
    @property
    def status(self) -> PullStatus: ...
    @property
    def messages(self) -> list[StoredMessage]: ...
    @property
    def next(self) -> int: ...
    @property
    def min(self) -> int: ...
    @property
    def max(self) -> int: ...

@final
class ConsumeContext:
    @property
    def queue(self) -> MessageQueue: ...
    def set_ack_index(self, index: int) -> None: ...
    def set_delay_level(self, level: int) -> None: ...

@final
class OrderlyContext:
    @property
    def queue(self) -> MessageQueue: ...
    def set_suspend_time(self, time: _Seconds) -> None: ...

@final
class Producer:
    @property
    def group(self) -> str: ...
    @property
    def sends_in_flight(self) -> int: ...
    def queues(self, topic: str) -> list[MessageQueue]: ...
    @overload
    def send(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> Sent: ...
    @overload
    def send(
        self,
        topic: str, body: _Body,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> Sent: ...
    @overload
    def send_async(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> asyncio.Future[Sent]: ...
    @overload
    def send_async(
        self,
        topic: str, body: _Body,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> asyncio.Future[Sent]: ...
    @overload
    def send_callback(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        callback: _Told,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> None: ...
    @overload
    def send_callback(
        self,
        topic: str, body: _Body,
        /,
        *,
        callback: _Told,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> None: ...
    @overload
    def send_oneway(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> None: ...
    @overload
    def send_oneway(
        self,
        topic: str, body: _Body,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> None: ...
    @overload
    def send_batch(
        self,
        messages: Iterable[Message],
        bodies: None = None,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> Sent: ...
    @overload
    def send_batch(
        self,
        topic: str, bodies: Iterable[_Body],
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> Sent: ...
    @overload
    def send_batch_async(
        self,
        messages: Iterable[Message],
        bodies: None = None,
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
    ) -> asyncio.Future[Sent]: ...
    @overload
    def send_batch_async(
        self,
        topic: str, bodies: Iterable[_Body],
        /,
        *,
        timeout: _Seconds | None = ...,
        queue: MessageQueue | None = ...,
        selector: _Selector | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> asyncio.Future[Sent]: ...
    @overload
    def send_split(
        self,
        messages: Iterable[Message],
        bodies: None = None,
        /,
    ) -> list[Sent]: ...
    @overload
    def send_split(
        self,
        topic: str, bodies: Iterable[_Body],
        /,
        *,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> list[Sent]: ...
    @overload
    def request(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        timeout: _Seconds,
    ) -> StoredMessage: ...
    @overload
    def request(
        self,
        topic: str, body: _Body,
        /,
        *,
        timeout: _Seconds,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> StoredMessage: ...
    @overload
    def request_async(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        timeout: _Seconds,
    ) -> asyncio.Future[StoredMessage]: ...
    @overload
    def request_async(
        self,
        topic: str, body: _Body,
        /,
        *,
        timeout: _Seconds,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> asyncio.Future[StoredMessage]: ...
    def reply(self, request: StoredMessage, body: _Body) -> Sent: ...
    def close(self, timeout: _Seconds | None = None) -> None: ...
    def __enter__(self) -> Producer: ...
    def __exit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    async def __aenter__(self) -> Producer: ...
    async def __aexit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class TransactionProducer:
    @property
    def group(self) -> str: ...
    @overload
    def send(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        execute: Callable[[Message, str], _Decision | Awaitable[_Decision]] | None = None,
    ) -> TransactionSent: ...
    @overload
    def send(
        self,
        topic: str, body: _Body,
        /,
        *,
        execute: Callable[[Message, str], _Decision | Awaitable[_Decision]] | None = None,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> TransactionSent: ...
    @overload
    def send_async(
        self,
        message: Message,
        body: None = None,
        /,
        *,
        execute: Callable[[Message, str], _Decision | Awaitable[_Decision]] | None = ...,
    ) -> Coroutine[Any, Any, TransactionSent]: ...
    @overload
    def send_async(
        self,
        topic: str, body: _Body,
        /,
        *,
        execute: Callable[[Message, str], _Decision | Awaitable[_Decision]] | None = ...,
        tag: str | None = ...,
        keys: _Texts | None = ...,
        properties: Mapping[str, str] | None = ...,
        flag: int = ...,
        delay_level: int = ...,
        sharding_key: str | None = ...,
        wait: bool = ...,
        transaction_check_immunity: int | None = ...,
    ) -> Coroutine[Any, Any, TransactionSent]: ...
    def close(self, timeout: _Seconds | None = None) -> None: ...
    def __enter__(self) -> TransactionProducer: ...
    def __exit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    async def __aenter__(self) -> TransactionProducer: ...
    async def __aexit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class PushConsumer:
    @property
    def group(self) -> str: ...
    @property
    def is_suspended(self) -> bool: ...
    @overload
    def subscribe(self, topic: Subscription) -> None: ...
    @overload
    def subscribe(self, topic: str, expression: str = "*") -> None: ...
    def unsubscribe(self, topic: str) -> None: ...
    def listen(self, listener: _ListenerT) -> _ListenerT: ...
    def listen_one(self, listener: _OneListenerT) -> _OneListenerT: ...
    def listen_orderly(self, listener: _OrderlyListenerT) -> _OrderlyListenerT: ...
    def start(self) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...
    def update_threads(self, count: int) -> None: ...
    def queues(self) -> list[MessageQueue]: ...
    def close(self, timeout: _Seconds | None = None) -> None: ...
    def __enter__(self) -> PushConsumer: ...
    def __exit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    async def __aenter__(self) -> PushConsumer: ...
    async def __aexit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class Consumer:
    @property
    def group(self) -> str | None: ...
    @property
    def is_caught_up(self) -> bool: ...
    @property
    def _started(self) -> bool: ...
    @overload
    def subscribe(self, topic: Subscription) -> None: ...
    @overload
    def subscribe(self, topic: str, expression: str = "*") -> None: ...
    def unsubscribe(self, topic: str) -> None: ...
    def assign(self, queues: MessageQueue | Iterable[MessageQueue]) -> None: ...
    def start(self) -> None: ...
    def poll(self, timeout: _Seconds | None = None, count: int | None = None) -> list[StoredMessage]: ...
    async def poll_async(
        self, timeout: _Seconds | None = None, count: int | None = None
    ) -> list[StoredMessage]: ...
    def _polling(self, count: int | None = None) -> Polling: ...
    def __iter__(self) -> Consumer: ...
    def __next__(self) -> StoredMessage: ...
    def __aiter__(self) -> Consumer: ...
    async def __anext__(self) -> StoredMessage: ...
    def commit(self) -> None: ...
    def commit_queue(self, queue: MessageQueue, offset: int) -> None: ...
    def flush(self) -> None: ...
    def committed(self, queue: MessageQueue) -> int | None: ...
    def seek(self, queue: MessageQueue, offset: int) -> None: ...
    def seek_to_begin(self, queue: MessageQueue) -> None: ...
    def seek_to_end(self, queue: MessageQueue) -> None: ...
    def seek_to_time(self, queue: MessageQueue, ms: int) -> None: ...
    def offset_for_time(self, queue: MessageQueue, ms: int) -> int: ...
    def pause(self, queues: MessageQueue | Iterable[MessageQueue]) -> None: ...
    def resume(self, queues: MessageQueue | Iterable[MessageQueue]) -> None: ...
    def queues(self) -> list[MessageQueue]: ...
    def topic_queues(self, topic: str) -> list[MessageQueue]: ...
    def pull(
        self,
        queue: MessageQueue,
        offset: int,
        *,
        subscription: Subscription | None = None,
        count: int = 32,
        timeout: _Seconds | None = None,
    ) -> Pulled: ...
    def close(self, timeout: _Seconds | None = None) -> None: ...
    def abandon(self) -> None: ...
    def __enter__(self) -> Consumer: ...
    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    async def __aenter__(self) -> Consumer: ...
    async def __aexit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class Instance:
    @property
    def client_id(self) -> str: ...
    @property
    def name_servers(self) -> str: ...
    @property
    def listening(self) -> tuple[int, int] | None: ...
    def producer(self, group: str, **options: Any) -> Producer: ...
    @overload
    def transaction_producer(
        self,
        group: str,
        listener: _TransactionListener,
        *,
        execute: None = None,
        check: None = None,
        **options: Any,
    ) -> TransactionProducer: ...
    @overload
    def transaction_producer(
        self,
        group: str,
        listener: None = None,
        *,
        execute: Callable[[Message, str], _Decision | Awaitable[_Decision]],
        check: Callable[[StoredMessage], _Decision | Awaitable[_Decision]],
        **options: Any,
    ) -> TransactionProducer: ...
    def push_consumer(self, group: str, **options: Any) -> PushConsumer: ...
    def consumer(self, group: str | None = None, **options: Any) -> Consumer: ...
    def create_topic(self, name: str, queues: int = 4) -> None: ...
    def admin(self) -> Admin: ...
    def set_filter_function(self, topic: str, group: str, name: str, module: _Body) -> None: ...
    def queues(self, topic: str) -> list[MessageQueue]: ...
    def message_by_id(self, offset_id: str) -> StoredMessage: ...
    def message_by_unique_key(self, topic: str, id: str) -> StoredMessage: ...
    def messages_by_key(
        self, topic: str, key: str, max: int = 64, begin_ms: int = 0, end_ms: int = ...
    ) -> list[StoredMessage]: ...
    def min_offset(self, queue: MessageQueue) -> int: ...
    def max_offset(self, queue: MessageQueue) -> int: ...
    def search_offset(self, queue: MessageQueue, ms: int) -> int: ...
    def earliest_store_time(self, queue: MessageQueue) -> int | None: ...
    def close(self, timeout: _Seconds | None = None) -> None: ...
    def __enter__(self) -> Instance: ...
    def __exit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    async def __aenter__(self) -> Instance: ...
    async def __aexit__(self, *_exception: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class Admin:
    def topics(self) -> list[str]: ...
    def all_topics(self) -> list[str]: ...
    def topic(self, name: str) -> dict[str, Any]: ...
    def create_topic(
        self,
        name: str,
        queues: int = 4,
        *,
        read_queues: int | None = None,
        write_queues: int | None = None,
        perm: int | None = None,
        order: bool | None = None,
    ) -> None: ...
    def delete_topic(self, name: str) -> None: ...
    def groups(self) -> list[str]: ...
    def progress(self, group: str) -> dict[str, Any]: ...
    def members(self, group: str) -> dict[str, Any]: ...
    def reset_offsets(
        self, group: str, topic: str, at: Literal["begin", "end"] | int
    ) -> list[dict[str, Any]]: ...
    def delete_group(self, group: str) -> None: ...
    def cluster(self) -> dict[str, Any]: ...

@final
class Polling:
    def step(self, future: asyncio.Future[None]) -> list[StoredMessage] | None: ...
    def end(self) -> None: ...

def _open(path: str | os.PathLike[str] | None, options: dict[str, Any]) -> Instance: ...
def _connect(name_servers: str, options: dict[str, Any]) -> Instance: ...
def _set_level(level: int) -> None: ...
def _stop() -> None: ...
def _before_fork() -> None: ...
def _after_fork() -> None: ...
