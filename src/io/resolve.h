/*
 * resolve.h - names to addresses: hosts, then name servers, with our own cache; opens no file.
 *
 * What /etc/resolv.conf and /etc/hosts say is handed in as text (resolver_configure) by whoever
 * may read files, at start and whenever they change. Answers are kept as long as their TTL says
 * (at least 1 s, at most 1 h), failures for 5 s; at most RESOLVE_CACHE_NAMES names, least
 * recently used go first. Many askers for one name share one question. Knows nothing of HTTP.
 *
 *     start --in hosts or cache----------------------------> answered at once
 *       | else: A and AAAA are asked for, of the name or of each search domain in turn
 *       v
 *     asked --one has addresses, RESOLVE_PATIENCE_MS pass--> answered with these
 *       |  \--both are there--------------------------------> answered with both
 *       v
 *     no addresses under any name--------------------------> failed
 */
#ifndef DEJUNK_IO_RESOLVE_H
#define DEJUNK_IO_RESOLVE_H

#include "io/address.h"
#include "io/loop.h"

enum {
    RESOLVE_CACHE_NAMES = 10000, // more are not asked for at once, either
    RESOLVE_ADDRESSES = 16,      // kept of each family
    RESOLVE_ALIASES = 8,         // of the CNAME chain
    RESOLVE_TTL_LEAST_S = 1,
    RESOLVE_TTL_MOST_S = 3600,
    RESOLVE_FAILURE_S = 5,    // a failure is remembered for this long
    RESOLVE_HALF_S = 30,      // an answer of which one family is missing because its servers failed
    RESOLVE_PATIENCE_MS = 50, // one family waits for the other, RFC 8305 section 3
};

struct resolver;

struct resolve_answer { // shared, immutable while referenced
    unsigned references;
    size_t count;
    struct address *addresses; // port 0; IPv6 first; each family in the order of its answer
    size_t alias_count;
    struct span *aliases; // the CNAME chain behind the name, in order, lower case, no last dot
};

struct resolve_query { // lives inside its owner, who calls resolve_cancel() before it goes away
    /* error is NULL and answer good, or answer NULL. The answer is borrowed until the callback
     * returns; resolve_answer_ref() keeps it. */
    void (*on_resolved)(void *owner, struct resolve_answer *answer, const struct error *error);
    void *owner;
    struct resolve_entry *entry; // resolve.c only, from here
    struct resolve_query *next, **link;
};

/* It knows the name server on this machine until it is configured. */
enum error_kind resolver_new(struct resolver **out, struct loop *loop, struct error *error);
/* Queries under way hear nothing more. Not from inside on_resolved(). */
void resolver_free(struct resolver **resolver);

/* New contents of resolv.conf and hosts (resolve_files.h); either may be empty. Forgets the
 * cache; questions under way are asked again. On an error (a text beyond its limits) all stays as
 * it was. */
enum error_kind resolver_configure(struct resolver *resolver, struct span resolv_conf,
                                   struct span hosts, struct error *error);

/* `name` is a host name in ASCII (A-labels), at most 253 bytes; literals do not come here.
 * Answers from the cache or hosts file come at once: true, with *answer borrowed until the loop
 * goes on; on_resolved is not called then. Else false and it comes later, from the loop: an
 * answer, ERROR_NO_HOST, ERROR_TIMEOUT when the name servers are silent, or ERROR_LIMIT.
 * "localhost" and "*.localhost" are ::1 and 127.0.0.1 without asking, "*.invalid" and "*.onion"
 * have no address (RFC 6761, RFC 7686). Names with fewer dots than ndots are looked for in the
 * search domains first, the others and those with a dot at their end are taken as they are. */
bool resolve_start(struct resolver *resolver, struct resolve_query *query, struct span name,
                   struct resolve_answer **answer);
void resolve_cancel(struct resolve_query *query);

void resolve_answer_ref(struct resolve_answer *answer);
void resolve_answer_unref(struct resolve_answer *answer);

struct resolver_counts {
    uint64_t lookups;    // questions sent to name servers
    uint64_t cache_hits; // answered at once, hosts included
    uint64_t failures;   // queries that ended without an answer
};
struct resolver_counts resolver_counts(const struct resolver *resolver);

#endif
