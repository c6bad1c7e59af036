/*
 * resolve.h - names to addresses: c-ares with our own cache; opens no file.
 *
 * What /etc/resolv.conf and /etc/hosts say is handed in as text (resolve_configure) by whoever
 * may read files, at start and whenever they change. Answers are kept as long as their TTL says
 * (at least 1 s, at most 1 h), failures for 5 s; at most RESOLVE_CACHE_NAMES names, least
 * recently used go first. Many askers for one name share one question. Knows nothing of HTTP.
 */
#ifndef DEJUNK_IO_RESOLVE_H
#define DEJUNK_IO_RESOLVE_H

#include "io/address.h"
#include "io/loop.h"

enum {
    RESOLVE_CACHE_NAMES = 10000,
    RESOLVE_ADDRESSES = 16, // kept of each family
    RESOLVE_ALIASES = 8,    // of the CNAME chain
};

struct resolver;

struct resolve_answer { // shared, immutable while referenced
    unsigned references;
    size_t count;
    struct address *addresses; // port 0; in RFC 6724 order as c-ares gives, families not yet mixed
    size_t alias_count;
    struct span *aliases; // the CNAME chain behind the name, in order, lower case, no last dot
    bool from_hosts_file;
};

struct resolve_query { // lives inside its owner, who calls resolve_cancel() before it goes away
    /* error is NULL and answer good, or answer NULL. The answer is borrowed until the callback
     * returns; resolve_answer_ref() keeps it. */
    void (*on_resolved)(void *owner, struct resolve_answer *answer, const struct error *error);
    void *owner;
    struct resolve_entry *entry; // resolve.c only, from here
    struct resolve_query *next, **link;
};

enum error_kind resolver_new(struct resolver **out, struct loop *loop, struct error *error);
void resolver_free(struct resolver **resolver);

/* New contents of resolv.conf (nameserver, search, domain, options ndots timeout attempts) and
 * hosts. Either may be empty. Forgets the cache; questions under way are asked again. Lines it
 * cannot read are passed over. Nameservers may have ports ("127.0.0.1:5353", "[::1]:53"). */
enum error_kind resolver_configure(struct resolver *resolver, struct span resolv_conf,
                                   struct span hosts, struct error *error);

/* `name` is a host name in ASCII (A-labels), at most 253 bytes; literals do not come here.
 * Answers from the cache or hosts file come at once: true, with *answer borrowed until the loop
 * goes on; on_resolved is not called then. Else false and it comes later, from the loop.
 * "localhost" and "*.localhost" are 127.0.0.1 and ::1 without asking (RFC 6761). */
bool resolve_start(struct resolver *resolver, struct resolve_query *query, struct span name,
                   struct resolve_answer **answer);
void resolve_cancel(struct resolve_query *query);

void resolve_answer_ref(struct resolve_answer *answer);
void resolve_answer_unref(struct resolve_answer *answer);

struct resolver_counts {
    uint64_t lookups, cache_hits, failures;
};
struct resolver_counts resolver_counts(const struct resolver *resolver);

#endif
