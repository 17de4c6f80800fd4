/* Numbers that are unique over many machines without asking anyone: time, node and a counter in 64 bits. */
#ifndef SNOWFLAKE_H
#define SNOWFLAKE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Makes up to 4096 numbers a millisecond, each larger than the one before. Up to 1024 nodes make different ones. */
typedef struct {
  /* 0 to 1023 and another one in each process; what is beyond is cut off. */
  uint64_t node;
  pthread_mutex_t lock;
  uint64_t ms, count;
} snowflakes;

#define SNOWFLAKES(of) {.node = (of), .lock = PTHREAD_MUTEX_INITIALIZER}

/* The next number: 41 bits of milliseconds since 2024-01-01, 10 of the node, 12 of the counter. */
static inline uint64_t next_id(snowflakes *from) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  uint64_t now = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000 - 1704067200000;
  pthread_mutex_lock(&from->lock);
  /* A clock that was set back does not matter: the time of the last number goes on counting. */
  if (now > from->ms) {
    from->ms = now;
    from->count = 0;
  } else if (from->count == 4095) {
    from->ms += 1;
    from->count = 0;
  } else {
    from->count += 1;
  }
  uint64_t made = from->ms << 22 | (from->node & 1023) << 12 | from->count;
  pthread_mutex_unlock(&from->lock);
  return made;
}

#endif
