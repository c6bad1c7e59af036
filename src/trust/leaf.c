#include "trust/leaf.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/table.h"
#include "trust/certificates.h"
#include "trust/hostname.h"

/* ---- names ---- */

static bool has(const struct leaf_names *names, enum hostname_kind kind, struct span bytes)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->names[i].kind == kind && span_equal(names->names[i].bytes, bytes))
            return true;
    return false;
}

static bool add(struct leaf_names *names, enum hostname_kind kind, struct span bytes)
{
    char *at = names->text + names->size;

    if (names->count == SIGN_NAMES || bytes.size > LEAF_NAMES_BYTES - names->size)
        return false;
    memcpy(at, bytes.at, bytes.size);
    names->names[names->count++] = (struct sign_name){ kind, span_of(at, bytes.size) };
    names->size += bytes.size;
    return true;
}

static void add_name(struct leaf_names *names, const struct constraints *constraints,
                     const ASN1_STRING *value)
{
    size_t size = (size_t)ASN1_STRING_length(value);
    char lower[HOSTNAME_BYTES];

    if (size >= sizeof lower)
        return;
    for (size_t i = 0; i < size; i++)
        lower[i] = ascii_lower((char)ASN1_STRING_get0_data(value)[i]);
    if (hostname_is_good_in_certificate(span_of(lower, size)) &&
        constraints_allow_name(constraints, span_of(lower, size)) &&
        !has(names, HOSTNAME_NAME, span_of(lower, size)))
        add(names, HOSTNAME_NAME, span_of(lower, size));
}

static void add_address(struct leaf_names *names, const struct constraints *constraints,
                        const ASN1_STRING *value)
{
    struct span bytes =
        span_of((const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));

    if ((bytes.size == 4 || bytes.size == 16) && constraints_allow_address(constraints, bytes) &&
        !has(names, HOSTNAME_ADDRESS, bytes))
        add(names, HOSTNAME_ADDRESS, bytes);
}

static void add_origins(struct leaf_names *names, const struct constraints *constraints,
                        const X509 *origin)
{
    GENERAL_NAMES *theirs = X509_get_ext_d2i(origin, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(theirs); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(theirs, i);

        if (name->type == GEN_DNS)
            add_name(names, constraints, name->d.dNSName);
        else if (name->type == GEN_IPADD)
            add_address(names, constraints, name->d.iPAddress);
    }
    GENERAL_NAMES_free(theirs);
    ERR_clear_error();
}

static bool is_covered(const struct leaf_names *names, const struct sign_name *asked)
{
    if (asked->kind == HOSTNAME_ADDRESS)
        return has(names, HOSTNAME_ADDRESS, asked->bytes);
    for (size_t i = 0; i < names->count; i++)
        if (names->names[i].kind == HOSTNAME_NAME &&
            hostname_covers(names->names[i].bytes, asked->bytes))
            return true;
    return false;
}

enum error_kind leaf_names_collect(struct leaf_names *names, const struct constraints *constraints,
                                   struct span host, const X509 *origin, struct error *error)
{
    char text[HOSTNAME_BYTES];
    unsigned char address[ADDRESS_BYTES];
    struct sign_name asked = { .kind = hostname_read(text, host) };

    if (asked.kind == HOSTNAME_NONE)
        return error_set(error, ERROR_SYNTAX, "no host name");
    asked.bytes = span_text(text);
    if (asked.kind == HOSTNAME_ADDRESS)
        asked.bytes = span_of((const char *)address, hostname_address(address, text));
    if (asked.kind == HOSTNAME_NAME ? !constraints_allow_name(constraints, asked.bytes)
                                    : !constraints_allow_address(constraints, asked.bytes))
        return error_set(error, ERROR_FORBIDDEN, "our authority may not sign for %s", text);
    names->count = names->size = 0;
    if (origin)
        add_origins(names, constraints, origin);
    if (!is_covered(names, &asked) && !add(names, asked.kind, asked.bytes)) {
        names->count = names->size = 0; // so many that it does not fit: it alone, then
        add(names, asked.kind, asked.bytes);
    }
    return ERROR_NONE;
}

/* ---- leaves ---- */

struct leaf *leaf_ref(struct leaf *leaf)
{
    leaf->references++;
    return leaf;
}

void leaf_unref(struct leaf **leaf)
{
    if (*leaf && --(*leaf)->references == 0) {
        X509_free((*leaf)->certificate);
        free(*leaf);
    }
    *leaf = NULL;
}

/* ---- the cache ---- */

struct entry { // kept, or pending
    struct table_node node;
    unsigned char key[SHA256_DIGEST_LENGTH]; // of the names
    struct entry *newer, *older;             // among the kept; among the pending, in order
    struct leaf *leaf;                       // NULL: pending
    struct leaf_wait *waits;
    uint32_t number;
};

struct list {
    struct entry *newest, *oldest;
    size_t count;
};

struct leaf_cache {
    struct leaf_signer signer;
    EVP_PKEY *key;
    unsigned char point[SIGN_KEY_BYTES];
    STACK_OF(X509) *chain;
    struct constraints *constraints;
    struct table table;
    struct list kept, pending;
    uint32_t number;
    struct leaf_counts counts;
};

static void link_newest(struct list *list, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = list->newest;
    *(list->newest ? &list->newest->newer : &list->oldest) = entry;
    list->newest = entry;
    list->count++;
}

static void unlink_entry(struct list *list, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &list->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &list->oldest) = entry->newer;
    list->count--;
}

static void drop(struct leaf_cache *cache, struct entry *entry)
{
    assert(!entry->waits);
    unlink_entry(entry->leaf ? &cache->kept : &cache->pending, entry);
    table_remove(&cache->table, &entry->node);
    leaf_unref(&entry->leaf);
    free(entry);
}

static bool has_key(const struct table_node *node, const void *key)
{
    return memcmp(((const struct entry *)(const void *)node)->key, key, SHA256_DIGEST_LENGTH) == 0;
}

static uint64_t hash_of(const struct leaf_cache *cache, const unsigned char *key)
{
    return table_hash(&cache->table, span_of((const char *)key, SHA256_DIGEST_LENGTH));
}

/* Calls all who wait for the entry, in no order. They may call the cache again, and the entry may
 * go. */
static void tell(struct entry *entry, struct leaf *leaf, const struct error *error)
{
    struct leaf_wait *waits = entry->waits;

    entry->waits = NULL;
    if (waits)
        waits->link = &waits;
    if (leaf)
        leaf_ref(leaf);
    while (waits) {
        struct leaf_wait *wait = waits;

        leaf_cancel(wait);
        wait->on_leaf(wait->owner, leaf, error);
    }
    leaf_unref(&leaf);
}

static void fail_pending(struct leaf_cache *cache, struct entry *entry, enum error_kind kind,
                         const char *why)
{
    struct entry gone = { .waits = entry->waits };
    struct error error;

    if (gone.waits)
        gone.waits->link = &gone.waits;
    entry->waits = NULL;
    cache->counts.failed++;
    drop(cache, entry);
    error_set(&error, kind, "%s", why);
    tell(&gone, NULL, &error);
}

void leaf_cache_lost(struct leaf_cache *cache)
{
    size_t count = cache->pending.count; // those asked for meanwhile are another signer's

    while (count-- > 0 && cache->pending.oldest)
        fail_pending(cache, cache->pending.oldest, ERROR_LOST, "the signer is gone");
}

/* ---- its beginning and end ---- */

enum error_kind leaf_cache_set_chain(struct leaf_cache *cache, struct span chain_pem,
                                     struct error *error)
{
    STACK_OF(X509) *chain = NULL;
    struct constraints *constraints;
    enum error_kind kind = certificates_read(&chain, chain_pem, error);

    if (kind)
        return kind;
    if (cache->chain && X509_cmp(sk_X509_value(chain, 0), sk_X509_value(cache->chain, 0)) == 0) {
        sk_X509_pop_free(chain, X509_free);
        return ERROR_NONE;
    }
    kind = constraints_of(&constraints, sk_X509_value(chain, 0), error);
    if (kind) {
        sk_X509_pop_free(chain, X509_free);
        return kind;
    }
    sk_X509_pop_free(cache->chain, X509_free);
    constraints_free(&cache->constraints);
    cache->chain = chain;
    cache->constraints = constraints;
    while (cache->kept.oldest)
        drop(cache, cache->kept.oldest);
    leaf_cache_lost(cache);
    return ERROR_NONE;
}

enum error_kind leaf_cache_new(struct leaf_cache **out, const struct leaf_signer *signer,
                               struct span chain_pem, struct error *error)
{
    struct leaf_cache *cache = calloc(1, sizeof *cache);
    enum error_kind kind;
    size_t size = 0;

    if (!cache)
        abort();
    cache->signer = *signer;
    table_init(&cache->table);
    cache->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    if (!cache->key ||
        !EVP_PKEY_get_octet_string_param(cache->key, OSSL_PKEY_PARAM_PUB_KEY, cache->point,
                                         sizeof cache->point, &size) ||
        size != SIGN_KEY_BYTES)
        abort();
    kind = leaf_cache_set_chain(cache, chain_pem, error);
    if (kind)
        leaf_cache_free(&cache);
    else
        *out = cache;
    return kind;
}

void leaf_cache_free(struct leaf_cache **cache)
{
    if (!*cache)
        return;
    while ((*cache)->kept.oldest)
        drop(*cache, (*cache)->kept.oldest);
    while ((*cache)->pending.oldest)
        drop(*cache, (*cache)->pending.oldest);
    table_done(&(*cache)->table);
    sk_X509_pop_free((*cache)->chain, X509_free);
    constraints_free(&(*cache)->constraints);
    EVP_PKEY_free((*cache)->key);
    free(*cache);
    *cache = NULL;
}

EVP_PKEY *leaf_cache_key(const struct leaf_cache *cache)
{
    return cache->key;
}

STACK_OF(X509) *leaf_cache_chain(const struct leaf_cache *cache)
{
    return cache->chain;
}

const struct constraints *leaf_cache_constraints(const struct leaf_cache *cache)
{
    return cache->constraints;
}

struct leaf_counts leaf_cache_counts(const struct leaf_cache *cache)
{
    struct leaf_counts counts = cache->counts;

    counts.kept = cache->kept.count;
    counts.pending = cache->pending.count;
    return counts;
}

/* ---- asking ---- */

static void key_of(unsigned char *key, const struct leaf_names *names)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        abort();
    for (size_t i = 0; i < names->count; i++) {
        const unsigned char head[2] = { (unsigned char)names->names[i].kind,
                                        (unsigned char)names->names[i].bytes.size };

        EVP_DigestUpdate(context, head, sizeof head);
        EVP_DigestUpdate(context, names->names[i].bytes.at, names->names[i].bytes.size);
    }
    if (!EVP_DigestFinal_ex(context, key, NULL))
        abort();
    EVP_MD_CTX_free(context);
}

static void wait_for(struct entry *entry, struct leaf_wait *wait)
{
    assert(!wait->link);
    wait->next = entry->waits;
    wait->link = &entry->waits;
    if (wait->next)
        wait->next->link = &wait->next;
    entry->waits = wait;
}

void leaf_cancel(struct leaf_wait *wait)
{
    if (!wait->link)
        return;
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    wait->link = NULL;
}

static bool send_request(struct leaf_cache *cache, struct entry *entry,
                         const struct leaf_names *names)
{
    struct sign_request request = { .number = entry->number,
                                    .lifetime_s = LEAF_LIFETIME_S,
                                    .usages = SIGN_FOR_SERVERS,
                                    .name_count = names->count };
    char packet[SIGN_REQUEST_BYTES];

    memcpy(request.key, cache->point, SIGN_KEY_BYTES);
    memcpy(request.names, names->names, names->count * sizeof *names->names);
    return cache->signer.send(cache->signer.owner,
                              span_of(packet, sign_encode_request(packet, &request)));
}

static struct entry *new_entry(struct leaf_cache *cache, const unsigned char *key)
{
    struct entry *entry = calloc(1, sizeof *entry);

    if (!entry)
        abort();
    memcpy(entry->key, key, sizeof entry->key);
    entry->number = ++cache->number;
    link_newest(&cache->pending, entry);
    table_add(&cache->table, &entry->node, hash_of(cache, key));
    return entry;
}

static bool is_good(const struct leaf *leaf, time_t now)
{
    return leaf->from <= now && now < leaf->until - LEAF_RENEW_S;
}

enum error_kind leaf_get(struct leaf_cache *cache, struct leaf_wait *wait,
                         const struct leaf_names *names, time_t now, struct leaf **leaf,
                         struct error *error)
{
    unsigned char key[SHA256_DIGEST_LENGTH];
    struct entry *entry;

    key_of(key, names);
    entry = (struct entry *)(void *)table_find(&cache->table, hash_of(cache, key), has_key, key);
    *leaf = NULL;
    if (entry && entry->leaf && !is_good(entry->leaf, now)) {
        drop(cache, entry);
        entry = NULL;
    }
    if (entry && entry->leaf) {
        unlink_entry(&cache->kept, entry);
        link_newest(&cache->kept, entry);
        cache->counts.hits++;
        *leaf = entry->leaf;
        return ERROR_NONE;
    }
    if (entry) {
        cache->counts.joined++;
        wait_for(entry, wait);
        return ERROR_NONE;
    }
    if (cache->pending.count >= LEAF_PENDING)
        return error_set(error, ERROR_LIMIT, "%d certificates are asked for already", LEAF_PENDING);
    entry = new_entry(cache, key);
    wait_for(entry, wait);
    if (send_request(cache, entry, names))
        return ERROR_NONE;
    leaf_cancel(wait);
    drop(cache, entry);
    cache->counts.failed++;
    return error_set(error, ERROR_LOST, "the signer cannot be reached");
}

/* ---- answers ---- */

static struct entry *find_pending(const struct leaf_cache *cache, uint32_t number)
{
    for (struct entry *entry = cache->pending.oldest; entry; entry = entry->newer)
        if (entry->number == number)
            return entry;
    return NULL;
}

/* A leaf for our key below our chain, or NULL. */
static struct leaf *read_leaf(const struct leaf_cache *cache, struct span der)
{
    const unsigned char *at = (const unsigned char *)der.at;
    X509 *certificate = d2i_X509(NULL, &at, (long)der.size);
    const ASN1_BIT_STRING *key = certificate ? X509_get0_pubkey_bitstr(certificate) : NULL;
    struct leaf *leaf = NULL;

    ERR_clear_error();
    if (key && ASN1_STRING_length(key) == SIGN_KEY_BYTES &&
        memcmp(ASN1_STRING_get0_data(key), cache->point, SIGN_KEY_BYTES) == 0 &&
        X509_NAME_cmp(X509_get_issuer_name(certificate),
                      X509_get_subject_name(sk_X509_value(cache->chain, 0))) == 0 &&
        (leaf = calloc(1, sizeof *leaf))) {
        *leaf = (struct leaf){ .references = 1,
                               .certificate = certificate,
                               .from = certificates_time(X509_get0_notBefore(certificate)),
                               .until = certificates_time(X509_get0_notAfter(certificate)) };
        return leaf;
    }
    X509_free(certificate);
    return NULL;
}

enum error_kind leaf_cache_answer(struct leaf_cache *cache, struct span packet, struct error *error)
{
    struct sign_answer answer;
    enum error_kind kind = sign_decode_answer(&answer, packet, error);
    struct entry *entry;

    if (kind)
        return kind;
    entry = find_pending(cache, answer.number);
    if (!entry)
        return ERROR_NONE; // given up meanwhile
    if (answer.outcome != SIGN_DONE) {
        fail_pending(cache, entry,
                     answer.outcome == SIGN_RATE     ? ERROR_LIMIT
                     : answer.outcome == SIGN_FAILED ? ERROR_SYSTEM
                                                     : ERROR_FORBIDDEN,
                     sign_outcome_words(answer.outcome));
        return ERROR_NONE;
    }
    unlink_entry(&cache->pending, entry);
    entry->leaf = read_leaf(cache, answer.certificate);
    if (!entry->leaf) {
        link_newest(&cache->pending, entry);
        fail_pending(cache, entry, ERROR_CORRUPT, "the signer's certificate is not ours");
        return ERROR_NONE;
    }
    link_newest(&cache->kept, entry);
    cache->counts.minted++;
    assert(cache->kept.oldest != entry || cache->kept.count == 1);
    if (cache->kept.count > LEAF_CACHE)
        drop(cache, cache->kept.oldest);
    tell(entry, entry->leaf, NULL);
    return ERROR_NONE;
}
