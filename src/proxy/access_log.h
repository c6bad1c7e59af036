/*
 * access_log.h - one line for each finished exchange or tunnel, for people and their tools.
 *
 * Two formats: that of web servers (NCSA combined, local time) and JSON, one object a line, always
 * with the same keys. URLs are written without query and credentials, fields of credentials and
 * cookies not at all. Whatever came from a client is cut to a length and escaped, so that no line
 * breaks or controls get in. The lines go to proxy_seams.write_access_log; who gathers and writes
 * them is not known here.
 */
#ifndef DEJUNK_PROXY_ACCESS_LOG_H
#define DEJUNK_PROXY_ACCESS_LOG_H

#include <time.h>

#include "proxy/exchange.h"

enum { // of what clients sent, before it is escaped
    ACCESS_LOG_URL_BYTES = 1024,
    ACCESS_LOG_REFERER_BYTES = 512,
    ACCESS_LOG_AGENT_BYTES = 256,
    ACCESS_LOG_USER_BYTES = 64,
    ACCESS_LOG_METHOD_BYTES = 32,
    ACCESS_LOG_AUTHORITY_BYTES = 300,
    ACCESS_LOG_LINE_BYTES = 16 * 1024, // no line is longer, with all of that escaped
};

struct access_entry { // what a line is made of; an empty span: nothing is known
    const struct address *client;
    struct span user, method;
    struct span authority; // in front of a URL that is only a path
    bool is_secure;        // and "https://" in front of that
    struct span url;       // as it came; queries and credentials are left out here
    unsigned version_minor;
    unsigned status;
    uint64_t bytes; // of the response's body, or both ways through a tunnel
    uint64_t duration_ms;
    enum exchange_action action;
    struct span type, rule;
    struct span referer, agent;
};

/* At its end, when its head was parsed. One that became a tunnel is left out: its line comes with
 * the tunnel's end. */
void access_log_exchange(const struct exchange *x);

/* All that the line of a tunnel needs of the exchange that began it; NULL when nothing is logged.
 * Ends with access_log_tunnel(), or free(). */
struct access_note *access_log_keep(const struct exchange *x);
/* Takes the note over (which may be NULL). */
void access_log_tunnel(struct proxy *proxy, struct access_note **note, uint64_t bytes);

/* Remembers how the last second is written. End it with free(). */
struct access_clock *access_clock_new(void);
/* The line alone, with its newline, at a time since 1970; returns its length. */
size_t access_log_write(char to[ACCESS_LOG_LINE_BYTES], enum access_log_format format,
                        const struct access_entry *entry, const struct timespec *now,
                        struct access_clock *clock);

#endif
