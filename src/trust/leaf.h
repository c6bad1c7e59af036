/*
 * leaf.h - the certificates that browsers see: which names, minted once, kept in memory.
 *
 * A worker has one key and one cache. A leaf is asked for by its names; where it is not kept, the
 * signer is asked by a function that the cache was given, once for however many wait. Leaves are
 * shared and immutable. Knows no sockets and no clock: the caller brings the time.
 */
#ifndef DEJUNK_TRUST_LEAF_H
#define DEJUNK_TRUST_LEAF_H

#include <openssl/x509.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "trust/constraints.h"
#include "trust/sign.h"

enum {
    LEAF_CACHE = 2000,           // leaves kept, of each worker
    LEAF_PENDING = 1000,         // asked of the signer at one time
    LEAF_NAMES_BYTES = 8 * 1024, // of all names in one
    LEAF_LIFETIME_S = SIGN_LIFETIME_S,
    LEAF_RENEW_S = 24 * 3600, // with less than this left, another is minted
};

/* ---- names ---- */

struct leaf_names { // plain data of some size: on the stack of who asks
    size_t count;
    struct sign_name names[SIGN_NAMES];
    size_t size; // of text; leaf.c only, as is the next
    char text[LEAF_NAMES_BYTES];
};

/* The names for a leaf: those of the origin's certificate that a browser would take and the
 * constraints allow, as many as fit, and the one asked for, unless one of those covers it.
 * `origin` may be NULL. ERROR_SYNTAX when `host` is none, ERROR_FORBIDDEN when the authority may
 * not sign it (it is to be tunnelled). */
enum error_kind leaf_names_collect(struct leaf_names *names, const struct constraints *constraints,
                                   struct span host, const X509 *origin, struct error *error);

/* ---- leaves ---- */

struct leaf { // shared: leaf_ref(), leaf_unref()
    unsigned references;
    X509 *certificate;
    time_t from, until;
};

struct leaf *leaf_ref(struct leaf *leaf);
void leaf_unref(struct leaf **leaf);

struct leaf_cache;

struct leaf_signer {
    /* Hands a packet (sign.h) to the signer. Its answer comes by leaf_cache_answer(), later and
     * never inside. False when it cannot be reached. */
    bool (*send)(void *owner, struct span packet);
    void *owner;
};

/* `chain_pem` as of authority_chain_pem(). Makes the worker's key. */
enum error_kind leaf_cache_new(struct leaf_cache **out, const struct leaf_signer *signer,
                               struct span chain_pem, struct error *error);
/* Nobody may wait any more. */
void leaf_cache_free(struct leaf_cache **cache);

/* The authority from now on. If it is another than before, all leaves are forgotten, and who waits
 * is told ERROR_LOST. */
enum error_kind leaf_cache_set_chain(struct leaf_cache *cache, struct span chain_pem,
                                     struct error *error);

EVP_PKEY *leaf_cache_key(const struct leaf_cache *cache);
STACK_OF(X509) *leaf_cache_chain(const struct leaf_cache *cache);
const struct constraints *leaf_cache_constraints(const struct leaf_cache *cache);

struct leaf_wait { // lives inside its owner, who calls leaf_cancel() before it goes away
    /* leaf is borrowed until the callback returns, or NULL with *error: ERROR_FORBIDDEN (the
     * signer refused), ERROR_LIMIT (too many at once), ERROR_LOST (the signer is gone),
     * ERROR_CORRUPT, ERROR_SYSTEM. */
    void (*on_leaf)(void *owner, struct leaf *leaf, const struct error *error);
    void *owner;
    struct leaf_wait *next, **link; // leaf.c only; link NULL: does not wait
};

/* With ERROR_NONE: *leaf is the leaf, borrowed until the cache is called again; or NULL, and
 * on_leaf() comes later. ERROR_LOST or ERROR_LIMIT where it could not even be asked for. */
enum error_kind leaf_get(struct leaf_cache *cache, struct leaf_wait *wait,
                         const struct leaf_names *names, time_t now, struct leaf **leaf,
                         struct error *error);
/* Harmless when it does not wait. */
void leaf_cancel(struct leaf_wait *wait);

/* A packet from the signer; calls who waits for it. ERROR_SYNTAX, and nobody is called, when it is
 * none: the signer is to be given up. */
enum error_kind leaf_cache_answer(struct leaf_cache *cache, struct span packet,
                                  struct error *error);
/* The signer is gone: who waits is told. Kept leaves stay. */
void leaf_cache_lost(struct leaf_cache *cache);

struct leaf_counts {
    size_t kept, pending;
    uint64_t hits, minted, joined, failed; // joined: waited for another's
};
struct leaf_counts leaf_cache_counts(const struct leaf_cache *cache);

#endif
