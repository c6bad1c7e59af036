/*
 * metrics.h - counters of a worker: a table of names, a page of numbers in shared memory.
 *
 * Each worker adds to its own page without locks; whoever shows them adds the pages up. A page
 * outlives its worker, so counters go on when one is replaced. Names follow Prometheus (prefix
 * dejunk_, base units, _total); a row with labels says them after the name. Gauges are counted up
 * and down by one worker and set to zero when a new one takes the page over.
 */
#ifndef DEJUNK_BASE_METRICS_H
#define DEJUNK_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host_counts.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* id, kind, Prometheus name, labels, help */
#define METRICS(ROW)                                                                               \
    ROW(REQUESTS_PASSED, COUNTER, "dejunk_requests_total", "action=\"passed\"",                    \
        "Requests answered, by what was done with them")                                           \
    ROW(REQUESTS_BLOCKED, COUNTER, "dejunk_requests_total", "action=\"blocked\"", "")              \
    ROW(REQUESTS_REDIRECTED, COUNTER, "dejunk_requests_total", "action=\"redirected\"", "")        \
    ROW(REQUESTS_MODIFIED, COUNTER, "dejunk_requests_total", "action=\"modified\"", "")            \
    ROW(REQUESTS_TUNNELED, COUNTER, "dejunk_requests_total", "action=\"tunneled\"", "")            \
    ROW(REQUESTS_LOCAL, COUNTER, "dejunk_requests_total", "action=\"local\"", "")                  \
    ROW(REQUESTS_REFUSED, COUNTER, "dejunk_requests_total", "action=\"refused\"", "")              \
    ROW(REQUESTS_ERROR, COUNTER, "dejunk_requests_total", "action=\"error\"", "")                  \
    ROW(BYTES_FROM_BROWSER, COUNTER, "dejunk_bytes_total", "side=\"browser\",direction=\"in\"",    \
        "Bytes of messages and tunnels")                                                           \
    ROW(BYTES_TO_BROWSER, COUNTER, "dejunk_bytes_total", "side=\"browser\",direction=\"out\"", "") \
    ROW(BYTES_FROM_ORIGIN, COUNTER, "dejunk_bytes_total", "side=\"outgoing\",direction=\"in\"",    \
        "")                                                                                        \
    ROW(BYTES_TO_ORIGIN, COUNTER, "dejunk_bytes_total", "side=\"outgoing\",direction=\"out\"", "") \
    ROW(BYTES_SPLICED, COUNTER, "dejunk_spliced_bytes_total", "",                                  \
        "Bytes that the kernel moved without a copy")                                              \
    ROW(BROWSER_OPENED, COUNTER, "dejunk_connections_total", "side=\"browser\"",                   \
        "Connections opened")                                                                      \
    ROW(OUTGOING_OPENED, COUNTER, "dejunk_connections_total", "side=\"outgoing\"", "")             \
    ROW(BROWSER_OPEN, GAUGE, "dejunk_connections", "side=\"browser\"", "Connections open now")     \
    ROW(OUTGOING_OPEN, GAUGE, "dejunk_connections", "side=\"outgoing\"", "")                       \
    ROW(OUTGOING_IDLE, GAUGE, "dejunk_idle_connections", "",                                       \
        "Connections to origins that wait for their next request")                                 \
    ROW(OUTGOING_REUSED, COUNTER, "dejunk_connections_reused_total", "",                           \
        "Requests sent on a kept connection")                                                      \
    ROW(RETRIES, COUNTER, "dejunk_retries_total", "",                                              \
        "Requests sent again because a kept connection died")                                      \
    ROW(CONNECT_FAILURES, COUNTER, "dejunk_connect_failures_total", "",                            \
        "Connections to origins that could not be opened")                                         \
    ROW(GATE_WAITS, COUNTER, "dejunk_gate_waits_total", "",                                        \
        "Requests that waited in line for a connection")                                           \
    ROW(TIMEOUTS, COUNTER, "dejunk_timeouts_total", "", "Time limits that ran out")                \
    ROW(BAD_REQUESTS, COUNTER, "dejunk_bad_messages_total", "side=\"browser\"",                    \
        "Messages refused for breaking HTTP's grammar or a limit")                                 \
    ROW(BAD_RESPONSES, COUNTER, "dejunk_bad_messages_total", "side=\"outgoing\"", "")              \
    ROW(DESCRIPTORS_SHORT, COUNTER, "dejunk_descriptors_short_total", "",                          \
        "Times that accepting stopped for want of descriptors")                                    \
    ROW(INTERCEPT_OPENED, COUNTER, "dejunk_interceptions_total", "outcome=\"opened\"",             \
        "HTTPS connections that were looked into")                                                 \
    ROW(INTERCEPT_PASSED, COUNTER, "dejunk_interceptions_total", "outcome=\"passed\"", "")         \
    ROW(INTERCEPT_FAILED, COUNTER, "dejunk_interceptions_total", "outcome=\"failed\"", "")         \
    ROW(DNS_LOOKUPS, COUNTER, "dejunk_dns_lookups_total", "", "Questions asked of name servers")   \
    ROW(DNS_CACHE_HITS, COUNTER, "dejunk_dns_cache_hits_total", "",                                \
        "Names answered from the cache")                                                           \
    ROW(DNS_FAILURES, COUNTER, "dejunk_dns_failures_total", "", "Names without an answer")         \
    ROW(AUTH_FAILURES, COUNTER, "dejunk_auth_failures_total", "", "Wrong passwords")               \
    ROW(COOKIES_DROPPED, COUNTER, "dejunk_cookies_dropped_total", "", "Set-Cookie fields removed") \
    ROW(ELEMENTS_REMOVED, COUNTER, "dejunk_elements_removed_total", "",                            \
        "Elements removed from pages")                                                             \
    ROW(BYTES_REMOVED_HTML, COUNTER, "dejunk_bytes_removed_total", "reason=\"html\"",              \
        "Bytes that browsers were spared, of requests as many as such answers usually have")       \
    ROW(BYTES_REMOVED_REQUEST, COUNTER, "dejunk_bytes_removed_total", "reason=\"request\"", "")    \
    ROW(BUDGET_EXCEEDED, COUNTER, "dejunk_budget_exceeded_total", "",                              \
        "Responses passed on untouched because a limit was reached")

enum metric {
#define METRIC_ID(id, kind, name, labels, help) METRIC_##id,
    METRICS(METRIC_ID)
#undef METRIC_ID
        METRICS_COUNT
};

struct metric_row {
    enum metric_kind kind;
    const char *name, *labels, *help; // help stands at the first row of a name
};
const struct metric_row *metric_row(enum metric metric);

struct metrics { // one page; lives in shared memory made by the master
    _Atomic uint64_t values[METRICS_COUNT];
    struct host_rows hosts;
};

/* Only the page's own worker writes, so a plain load and store is enough. */
static inline void metrics_add(struct metrics *metrics, enum metric metric, uint64_t count)
{
    uint64_t now = atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
    atomic_store_explicit(&metrics->values[metric], now + count, memory_order_relaxed);
}

static inline void metrics_subtract(struct metrics *metrics, enum metric metric, uint64_t count)
{
    metrics_add(metrics, metric, (uint64_t)0 - count);
}

static inline uint64_t metrics_get(const struct metrics *metrics, enum metric metric)
{
    return atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
}

/* Sets the gauges to zero: a new worker takes the page over. */
void metrics_reset_gauges(struct metrics *metrics);

#endif
