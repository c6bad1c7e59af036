/*
 * shared.h - the workers' counters in memory that all processes share and that outlives each.
 *
 * A head and SHARED_PAGES pages, each with one struct metrics. A worker has one page to itself;
 * its counters stay when it ends, and the next worker with that page goes on counting. Made
 * by the master; a successor gets it by descriptor, so that counters go on across a change of the
 * binary too, while workers of both run. Whoever shows counters adds up all pages.
 */
#ifndef DEJUNK_DAEMON_SHARED_H
#define DEJUNK_DAEMON_SHARED_H

#include "base/error.h"
#include "base/metrics.h"

enum { SHARED_PAGES = 256 };

struct shared; // one per process, mapped

enum error_kind shared_new(struct shared **out, struct error *error);
/* Maps what shared_fd() of another process gave. ERROR_UNSUPPORTED when it was laid out by
 * another version. The descriptor stays the caller's. */
enum error_kind shared_open(struct shared **out, int fd, struct error *error);
/* Unmaps; the memory lives on in the other processes. Sets *shared to NULL. */
void shared_free(struct shared **shared);

int shared_fd(const struct shared *shared);
uint64_t shared_size_bytes(void);

/* A page that no living master has, its gauges zero; -1 when there is none. It is this process's
 * until given back, and free again when this process is gone. */
int shared_take_page(struct shared *shared);
/* Gauges become zero, counters stay. */
void shared_give_page(struct shared *shared, int page);

struct metrics *shared_metrics(struct shared *shared, int page);
/* In a worker: unmaps all pages but its own. Only shared_metrics(page) may be used after. */
void shared_keep_only(struct shared *shared, int page);
/* One counter of all pages. */
uint64_t shared_sum(const struct shared *shared, enum metric metric);
/* What all workers kept from browsers, by site, into empty totals. */
void shared_hosts(const struct shared *shared, struct host_totals *totals);

#endif
