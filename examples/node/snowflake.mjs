// Numbers that are unique over many machines without asking anyone: time, node and a counter in 64 bits.

/** 2024-01-01, from which the milliseconds are counted. */
const BEGIN_MS = 1_704_067_200_000

/** Makes up to 4096 numbers a millisecond, each larger than the one before. Up to 1024 nodes make different ones. */
export class Snowflakes {
  #node
  #last = 0
  #count = 0

  /** `node` is 0 to 1023 and another one in each process and worker; what is beyond is cut off. */
  constructor(node) {
    this.#node = BigInt(node & 1023)
  }

  /** The next number: 41 bits of milliseconds, 10 of the node, 12 of the counter. */
  nextId() {
    // A clock that was set back does not matter: the time of the last number goes on counting.
    const now = Math.max(Date.now() - BEGIN_MS, this.#last)
    if (now > this.#last) {
      this.#last = now
      this.#count = 0
    } else if (this.#count === 4095) {
      this.#last += 1
      this.#count = 0
    } else {
      this.#count += 1
    }
    return (BigInt(this.#last) << 22n) | (this.#node << 12n) | BigInt(this.#count)
  }
}
