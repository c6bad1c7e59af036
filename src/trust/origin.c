#include "trust/origin.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"

/* What browsers offer too: forward secrecy always. Anything weaker is the browser's own affair:
 * such an origin is tunnelled. */
static const char ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES256-GCM-SHA384";
static const char suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char groups[] = "X25519:P-256:P-384:P-521";
static const char signatures[] = "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pkcs1_sha256:"
                                 "ecdsa_secp384r1_sha384:rsa_pss_rsae_sha384:rsa_pkcs1_sha384:"
                                 "rsa_pss_rsae_sha512:rsa_pkcs1_sha512:ecdsa_secp521r1_sha512";

enum { KEY_BYTES = HOSTNAME_BYTES + 32 };

struct session { // owned by its origin_tls
    struct table_node node;
    struct session *newer, *older;
    size_t size;
    time_t verified; // in full
    char key[KEY_BYTES];
    unsigned char der[];
};

struct origin_tls {
    SSL_CTX *context;
    struct table sessions;
    struct session *newest, *oldest;
    size_t count;
};

struct exchange { // hangs on its SSL, and goes with it
    struct origin_tls *tls;
    struct verify verify;
    bool wants_certificate, asked_again;
    bool is_good;
    time_t verified;     // in full: now, or
    time_t was_verified; // where the session is resumed
    char key[KEY_BYTES]; // of the session
};

/* OpenSSL numbers what hangs on an SSL once for the process; never changes after. */
static int exchange_index = -1;

static struct exchange *exchange_of(const SSL *ssl)
{
    struct exchange *exchange = SSL_get_ex_data(ssl, exchange_index);

    assert(exchange);
    return exchange;
}

static void free_exchange(void *parent, void *item, CRYPTO_EX_DATA *data, int index, long number,
                          void *pointer)
{
    struct exchange *exchange = item;
    (void)parent, (void)data, (void)index, (void)number, (void)pointer;

    if (exchange) {
        verify_done(&exchange->verify);
        free(exchange);
    }
}

/* ---- sessions ---- */

static bool has_key(const struct table_node *node, const void *key)
{
    return strcmp(((const struct session *)(const void *)node)->key, key) == 0;
}

static struct session *find_session(const struct origin_tls *tls, const char *key)
{
    return (struct session *)(void *)table_find(
        &tls->sessions, table_hash(&tls->sessions, span_text(key)), has_key, key);
}

static void drop_session(struct origin_tls *tls, struct session *session)
{
    *(session->newer ? &session->newer->older : &tls->newest) = session->older;
    *(session->older ? &session->older->newer : &tls->oldest) = session->newer;
    table_remove(&tls->sessions, &session->node);
    tls->count--;
    free(session);
}

/* A resumed session is as old as its first one, whatever ticket came with it. */
static void keep_session(const struct exchange *exchange, const SSL *ssl, SSL_SESSION *made)
{
    struct origin_tls *tls = exchange->tls;
    const char *key = exchange->key;
    struct session *session = find_session(tls, key);
    int size = i2d_SSL_SESSION(made, NULL);
    unsigned char *at;

    if (session)
        drop_session(tls, session);
    if (size <= 0 || size > ORIGIN_SESSION_BYTES || !SSL_SESSION_is_resumable(made))
        return;
    if (tls->count == ORIGIN_SESSIONS)
        drop_session(tls, tls->oldest);
    session = calloc(1, sizeof *session + (size_t)size);
    if (!session)
        abort();
    session->size = (size_t)size;
    session->verified = SSL_session_reused(ssl) ? exchange->was_verified : exchange->verified;
    memcpy(session->key, key, strlen(key) + 1);
    at = session->der;
    i2d_SSL_SESSION(made, &at);
    session->older = tls->newest;
    *(tls->newest ? &tls->newest->newer : &tls->oldest) = session;
    tls->newest = session;
    table_add(&tls->sessions, &session->node, table_hash(&tls->sessions, span_text(key)));
    tls->count++;
}

static void resume(SSL *ssl, struct exchange *exchange)
{
    struct session *session = find_session(exchange->tls, exchange->key);
    const unsigned char *at;
    SSL_SESSION *kept;

    if (!session)
        return;
    if (exchange->verified < session->verified || // a clock that was put back tells nothing
        exchange->verified - session->verified >= ORIGIN_RESUMED_S) {
        drop_session(exchange->tls, session);
        return;
    }
    exchange->was_verified = session->verified;
    at = session->der;
    kept = d2i_SSL_SESSION(NULL, &at, (long)session->size);
    if (!kept)
        drop_session(exchange->tls, session);
    // A session whose cipher this browser does not offer would break the handshake.
    else if (sk_SSL_CIPHER_find(SSL_get_ciphers(ssl), SSL_SESSION_get0_cipher(kept)) >= 0)
        SSL_set_session(ssl, kept);
    SSL_SESSION_free(kept);
    ERR_clear_error();
}

/* With TLS 1.2 this comes before the judgement, which then keeps the session itself. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct exchange *exchange = exchange_of(ssl);

    if (exchange->is_good)
        keep_session(exchange, ssl, session);
    return 0; // the reference stays OpenSSL's
}

size_t origin_session_count(const struct origin_tls *tls)
{
    return tls->count;
}

/* ---- the context ---- */

static int on_chain(X509_STORE_CTX *context, void *argument)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    (void)argument;

    return verify_chain(&exchange_of(ssl)->verify, context);
}

/* -1 stops the handshake here: not even "I have none" is sent. */
static int on_certificate_wanted(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    (void)certificate, (void)key;
    exchange_of(ssl)->wants_certificate = true;
    return -1;
}

static void on_message(int is_written, int version, int type, const void *at, size_t size, SSL *ssl,
                       void *argument)
{
    (void)version, (void)argument;
    if (!is_written && type == SSL3_RT_HANDSHAKE && size > 0 &&
        *(const unsigned char *)at == SSL3_MT_HELLO_REQUEST)
        exchange_of(ssl)->asked_again = true;
}

bool origin_asked_again(const SSL *ssl)
{
    return exchange_of(ssl)->asked_again;
}

static bool set_up(SSL_CTX *context)
{
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_clear_options(context, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(context, VERIFY_CHAIN_BYTES);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, on_chain, NULL);
    SSL_CTX_set_client_cert_cb(context, on_certificate_wanted);
    SSL_CTX_set_msg_callback(context, on_message);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
           SSL_CTX_set_cipher_list(context, ciphers) && SSL_CTX_set_ciphersuites(context, suites) &&
           SSL_CTX_set1_groups_list(context, groups) &&
           SSL_CTX_set1_sigalgs_list(context, signatures) &&
           SSL_CTX_set_tlsext_status_type(context, TLSEXT_STATUSTYPE_ocsp);
}

enum error_kind origin_tls_new(struct origin_tls **out, struct error *error)
{
    struct origin_tls *tls;

    if (exchange_index < 0)
        exchange_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_exchange);
    tls = calloc(1, sizeof *tls);
    if (!tls || exchange_index < 0)
        abort();
    table_init(&tls->sessions);
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context || !set_up(tls->context)) {
        origin_tls_free(&tls);
        return error_set(error, ERROR_TLS, "OpenSSL cannot do what is needed towards origins");
    }
    *out = tls;
    return ERROR_NONE;
}

void origin_tls_free(struct origin_tls **tls)
{
    if (!*tls)
        return;
    while ((*tls)->oldest)
        drop_session(*tls, (*tls)->oldest);
    table_done(&(*tls)->sessions);
    SSL_CTX_free((*tls)->context);
    free(*tls);
    *tls = NULL;
}

/* ---- one handshake ---- */

/* The names, joined by colons, of those of our ciphers that the browser offers, in its order. */
static bool like_ciphers(SSL *ssl, struct span offered)
{
    char old[sizeof ciphers] = "", new[sizeof suites] = "";
    size_t old_size = 0, new_size = 0;

    for (size_t i = 0; i + 1 < offered.size; i += 2) {
        const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, (const unsigned char *)offered.at + i);
        const char *name = cipher ? SSL_CIPHER_get_name(cipher) : NULL;
        bool is_new = name && strncmp(name, "TLS_", 4) == 0;
        const char *ours = is_new ? suites : ciphers;
        char *to = is_new ? new : old;
        size_t *size = is_new ? &new_size : &old_size;
        size_t limit = is_new ? sizeof new : sizeof old;
        const char *found = name ? strstr(ours, name) : NULL;
        size_t length = name ? strlen(name) : 0;

        // A whole name of the list, not a part of one; and room, since a browser may repeat itself.
        if (!found || (found != ours && found[-1] != ':') ||
            (found[length] && found[length] != ':') || *size + length + 2 > limit)
            continue;
        *size += (size_t)snprintf(to + *size, limit - *size, "%s%s", *size ? ":" : "", name);
    }
    if (old_size == 0 && new_size == 0)
        return false;
    if (new_size == 0)
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    if (old_size == 0)
        SSL_set_min_proto_version(ssl, TLS1_3_VERSION);
    return (old_size == 0 || SSL_set_cipher_list(ssl, old)) &&
           (new_size == 0 || SSL_set_ciphersuites(ssl, new));
}

static bool like_groups(SSL *ssl, struct span offered)
{
    static const struct {
        uint16_t number;
        int nid;
    } ours[] = { { 29, NID_X25519 },
                 { 23, NID_X9_62_prime256v1 },
                 { 24, NID_secp384r1 },
                 { 25, NID_secp521r1 } };
    int chosen[sizeof ours / sizeof *ours], count = 0;

    if (offered.size == 0)
        return true;
    for (size_t i = 0; i + 1 < offered.size; i += 2) {
        unsigned number =
            (unsigned)(unsigned char)offered.at[i] << 8 | (unsigned char)offered.at[i + 1];

        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
            if (ours[k].number == number && count < (int)(sizeof ours / sizeof *ours))
                chosen[count++] = ours[k].nid;
    }
    return count > 0 && SSL_set1_groups(ssl, chosen, count);
}

static bool offer_like(SSL *ssl, const struct hello *browser)
{
    if (browser->version < TLS1_3_VERSION && !SSL_set_max_proto_version(ssl, TLS1_2_VERSION))
        return false;
    return browser->version >= TLS1_2_VERSION && like_ciphers(ssl, browser->ciphers) &&
           like_groups(ssl, browser->groups);
}

static struct exchange *new_exchange(struct origin_tls *tls)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);

    if (!exchange)
        abort();
    exchange->tls = tls;
    return exchange;
}

enum error_kind origin_begin(SSL **out, struct origin_tls *tls,
                             const struct origin_question *question, struct error *error)
{
    struct exchange *exchange = new_exchange(tls);
    struct verify *verify = &exchange->verify;
    enum error_kind kind = verify_init(verify, question->roots, question->host, error);
    SSL *ssl;

    exchange->verified = question->now;
    if (kind) {
        free(exchange);
        return kind;
    }
    snprintf(exchange->key, sizeof exchange->key, "%s/%u/%016llx", verify->host,
             (unsigned)question->port, (unsigned long long)verify_roots_mark(question->roots));
    ssl = SSL_new(tls->context);
    if (!ssl || !SSL_set_ex_data(ssl, exchange_index, exchange))
        abort();
    SSL_set_connect_state(ssl);
    verify_prepare(verify, SSL_get0_param(ssl));
    if (!SSL_set1_verify_cert_store(ssl, verify_store(verify)) ||
        (!verify->is_address && !SSL_set_tlsext_host_name(ssl, verify->host)) ||
        (question->protocols.size &&
         SSL_set_alpn_protos(ssl, (const unsigned char *)question->protocols.at,
                             (unsigned)question->protocols.size) != 0))
        kind = error_set(error, ERROR_TLS, "OpenSSL cannot ask for %s", verify->host);
    else if (question->like && !offer_like(ssl, question->like))
        kind = error_set(error, ERROR_TLS, "the browser offers nothing that is good enough");
    ERR_clear_error();
    if (kind) {
        SSL_free(ssl);
        return kind;
    }
    resume(ssl, exchange);
    *out = ssl;
    return ERROR_NONE;
}

static enum error_kind judge_new(SSL *ssl, const struct verify *verify, struct error *error)
{
    unsigned char *staple = NULL;
    long size = SSL_get_tlsext_status_ocsp_resp(ssl, &staple);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    EVP_PKEY *key = NULL;
    enum error_kind kind;

    if (!chain)
        return error_set(error, ERROR_TLS, "no certificate was verified");
    kind = verify_staple(verify, chain,
                         size > 0 ? span_of((const char *)staple, (size_t)size) : SPAN_NONE, error);
    if (!kind && SSL_get_peer_tmp_key(ssl, &key))
        kind = verify_group(key, error);
    EVP_PKEY_free(key);
    return kind;
}

static enum error_kind judge_ended(SSL *ssl, struct exchange *exchange, struct error *error)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);

    if (!leaf || SSL_get_verify_result(ssl) != X509_V_OK || SSL_version(ssl) < TLS1_2_VERSION)
        return error_set(error, ERROR_TLS, "no certificate was verified");
    if (SSL_session_reused(ssl))
        return verify_again(&exchange->verify, leaf, error);
    return judge_new(ssl, &exchange->verify, error);
}

enum origin_verdict origin_judge(SSL *ssl, struct origin_facts *facts, struct error *error)
{
    struct exchange *exchange = exchange_of(ssl);
    const unsigned char *protocol;
    unsigned size;

    if (exchange->verify.is_refused) {
        *error = *exchange->verify.reason;
        return ORIGIN_BAD_CERTIFICATE;
    }
    if (exchange->wants_certificate) {
        error_set(error, ERROR_TLS, "%s asks for a client certificate", exchange->verify.host);
        return ORIGIN_WANTS_CERTIFICATE;
    }
    if (!SSL_is_init_finished(ssl)) {
        error_set(error, ERROR_TLS, "the TLS handshake with %s failed", exchange->verify.host);
        return ORIGIN_FAILED;
    }
    if (judge_ended(ssl, exchange, error)) {
        struct session *session = find_session(exchange->tls, exchange->key);

        if (session)
            drop_session(exchange->tls, session);
        return ORIGIN_BAD_CERTIFICATE;
    }
    exchange->is_good = true;
    if (SSL_version(ssl) < TLS1_3_VERSION)
        keep_session(exchange, ssl, SSL_get0_session(ssl));
    if (facts) {
        SSL_get0_alpn_selected(ssl, &protocol, &size);
        facts->protocol = span_of((const char *)protocol, size);
        facts->is_resumed = SSL_session_reused(ssl);
    }
    return ORIGIN_GOOD;
}

const char *origin_chain_text(char *to, size_t size, SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);

    return verify_chain_text(to, size, chain ? chain : SSL_get_peer_cert_chain(ssl));
}
