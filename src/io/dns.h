/*
 * dns.h - questions to name servers, one name and one record type each, over c-ares.
 *
 * c-ares does the servers, the repeats, the time limits and TCP for long answers; the questions'
 * numbers and the reading of answers are ours. Its own random numbers need /dev/urandom, which
 * a jailed process cannot open, and its way of reading answers has no limits we could choose.
 * Opens no file (c-ares tries that one, in dns_new, and does without). Knows nothing of caches.
 */
#ifndef DEJUNK_IO_DNS_H
#define DEJUNK_IO_DNS_H

#include "io/loop.h"
#include "io/resolve_files.h"

enum {
    DNS_ADDRESSES = 16, // kept of an answer, as is the next
    DNS_ALIASES = 8,
    DNS_RECORDS = 512,     // looked at in an answer
    DNS_TIMEOUT_MS = 2000, // for the first try, when resolv.conf says nothing; then it doubles
    DNS_ATTEMPTS = 3,
};

enum dns_outcome {
    DNS_FOUND,
    DNS_NO_DATA, // the name exists without an address of this kind
    DNS_NO_NAME,
    DNS_FAILED, // the servers said no, made no sense or cannot be reached
    DNS_SILENT, // no server answered in time
};

struct dns_reply {
    enum dns_outcome outcome;
    uint32_t ttl_s; // the least of all that was used; good when DNS_FOUND
    size_t count;
    struct address addresses[DNS_ADDRESSES]; // in the order of the answer, port 0
    size_t alias_count;
    char aliases[DNS_ALIASES][RESOLVE_NAME_BYTES + 1]; // the CNAME chain behind the name, folded
};

struct dns;

struct dns_question { // lives inside its owner, who calls dns_forget() before it goes away
    /* Comes once, also from inside dns_ask(). The reply is borrowed until it returns. */
    void (*on_answered)(void *owner, const struct dns_reply *reply);
    void *owner;
    struct dns_asked *asked; // dns.c only; NULL: idle
};

/* Asks the servers of `conf`, 127.0.0.1 when it has none. */
enum error_kind dns_new(struct dns **out, struct loop *loop, const struct resolve_conf *conf,
                        struct error *error);
/* Forgets the questions under way. Not from inside on_answered(). */
void dns_free(struct dns **dns);

/* `name` is folded. */
void dns_ask(struct dns *dns, struct dns_question *question, const char *name, bool want_v6);
/* Harmless when idle. */
void dns_forget(struct dns_question *question);

/* Reads an answer to the question for the addresses of `name`. */
void dns_parse(struct dns_reply *reply, struct span packet, const char *name, bool want_v6);

#endif
