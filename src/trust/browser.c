#include "trust/browser.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

/* Forward secrecy and AEAD alone; leaves are ECDSA. */
static const char ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384";
static const char suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char groups[] = "X25519:P-256:P-384";

struct browser_tls {
    SSL_CTX *context;
    EVP_CIPHER *cipher; // fetched once: OpenSSL 3 is slow at it
    struct browser_ticket_key keys[BROWSER_TICKET_KEYS];
    size_t key_count;
};

/* The protocols that ALPN can choose here; what hangs on an SSL is a row of this table. */
static const struct {
    struct span name;
} protocols[] = { { { "http/1.1", 8 } }, { { "h2", 2 } } };

/* OpenSSL numbers what hangs on an SSL once for the process; never changes after. */
static int protocol_index = -1;

static struct browser_tls *tls_of(SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* ---- tickets (RFC 5077, RFC 8446 section 4.6.1) ---- */

static bool set_mac_key(EVP_MAC_CTX *mac, const struct browser_ticket_key *key)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

static const struct browser_ticket_key *find_key(const struct browser_tls *tls,
                                                 const unsigned char *name)
{
    for (size_t i = 0; i < tls->key_count; i++)
        if (memcmp(tls->keys[i].name, name, sizeof tls->keys[i].name) == 0)
            return &tls->keys[i];
    return NULL;
}

/* As OpenSSL asks: 0 for no ticket, 1 for a good one, 2 for one that is to be renewed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    const struct browser_tls *tls = tls_of(ssl);
    const struct browser_ticket_key *key = encrypt ? tls->keys : find_key(tls, name);

    if (!key || tls->key_count == 0)
        return 0;
    if (encrypt) {
        memcpy(name, key->name, sizeof key->name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tls->cipher)) != 1)
            return -1;
    }
    if (!EVP_CipherInit_ex(cipher, tls->cipher, NULL, key->cipher, iv, encrypt) ||
        !set_mac_key(mac, key))
        return -1;
    return key == tls->keys ? 1 : 2;
}

void browser_tls_set_ticket_keys(struct browser_tls *tls, const struct browser_ticket_key *keys,
                                 size_t count)
{
    assert(count <= BROWSER_TICKET_KEYS);
    OPENSSL_cleanse(tls->keys, sizeof tls->keys);
    if (count)
        memcpy(tls->keys, keys, count * sizeof *keys);
    tls->key_count = count;
    if (count)
        SSL_CTX_clear_options(tls->context, SSL_OP_NO_TICKET);
    else
        SSL_CTX_set_options(tls->context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(tls->context, count ? 2 : 0);
}

/* ---- the context ---- */

/* Chooses what the origin has chosen, where the browser offers it; else no protocol. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *size,
                        const unsigned char *offered, unsigned offered_size, void *argument)
{
    const struct span *wanted = SSL_get_ex_data(ssl, protocol_index);
    (void)argument;

    for (unsigned at = 0; wanted && at < offered_size; at += 1u + offered[at]) {
        if (offered[at] == wanted->size && at + 1 + wanted->size <= offered_size &&
            memcmp(offered + at + 1, wanted->at, wanted->size) == 0) {
            *out = offered + at + 1;
            *size = offered[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static bool set_up(SSL_CTX *context)
{
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, BROWSER_SESSION_S);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) &&
           SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
           SSL_CTX_set_cipher_list(context, ciphers) && SSL_CTX_set_ciphersuites(context, suites) &&
           SSL_CTX_set1_groups_list(context, groups);
}

enum error_kind browser_tls_new(struct browser_tls **out, struct error *error)
{
    struct browser_tls *tls = calloc(1, sizeof *tls);

    if (protocol_index < 0)
        protocol_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (!tls || protocol_index < 0)
        abort();
    tls->context = SSL_CTX_new(TLS_server_method());
    tls->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!tls->context || !tls->cipher || !set_up(tls->context)) {
        browser_tls_free(&tls);
        ERR_clear_error();
        return error_set(error, ERROR_TLS, "OpenSSL cannot do what is needed towards browsers");
    }
    SSL_CTX_set_app_data(tls->context, tls);
    browser_tls_set_ticket_keys(tls, NULL, 0);
    *out = tls;
    return ERROR_NONE;
}

void browser_tls_free(struct browser_tls **tls)
{
    if (!*tls)
        return;
    SSL_CTX_free((*tls)->context);
    EVP_CIPHER_free((*tls)->cipher);
    OPENSSL_cleanse((*tls)->keys, sizeof(*tls)->keys);
    free(*tls);
    *tls = NULL;
}

void browser_tls_set_chain(struct browser_tls *tls, STACK_OF(X509) *chain)
{
    SSL_CTX_clear_extra_chain_certs(tls->context);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);

        X509_up_ref(certificate);
        if (!SSL_CTX_add_extra_chain_cert(tls->context, certificate))
            abort();
    }
}

/* ---- one handshake ---- */

/* Is one of ours among these pairs of bytes? */
static bool has_one_of(struct span offered, const uint16_t *ours, size_t count)
{
    for (size_t i = 0; i + 1 < offered.size; i += 2) {
        unsigned one =
            (unsigned)(unsigned char)offered.at[i] << 8 | (unsigned char)offered.at[i + 1];

        for (size_t k = 0; k < count; k++)
            if (ours[k] == one)
                return true;
    }
    return false;
}

bool browser_suits(const struct hello *hello)
{
    // The numbers of what the texts above name, and of ecdsa_secp256r1_sha256.
    static const uint16_t new_ones[] = { 0x1301, 0x1302, 0x1303 };
    static const uint16_t old_ones[] = { 0xc02b, 0xc02c, 0xcca9 };
    static const uint16_t curves[] = { 29, 23, 24 }, signature[] = { 0x0403 };

    if (!has_one_of(hello->signatures, signature, 1) ||
        (hello->groups.size && !has_one_of(hello->groups, curves, 3)))
        return false;
    return (hello->version >= TLS1_3_VERSION && has_one_of(hello->ciphers, new_ones, 3)) ||
           (hello->version >= TLS1_2_VERSION && has_one_of(hello->ciphers, old_ones, 3));
}

SSL *browser_begin(struct browser_tls *tls, const struct leaf *leaf, EVP_PKEY *key,
                   struct span protocol, struct span host)
{
    unsigned char session[SHA256_DIGEST_LENGTH];
    SSL *ssl = SSL_new(tls->context);

    SHA256((const unsigned char *)host.at, host.size, session);
    if (!ssl || !SSL_use_certificate(ssl, leaf->certificate) || !SSL_use_PrivateKey(ssl, key) ||
        !SSL_set_session_id_context(ssl, session, sizeof session))
        abort(); // ours, all of it
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (span_equal(protocol, protocols[i].name))
            SSL_set_ex_data(ssl, protocol_index, (void *)&protocols[i].name);
    SSL_set_accept_state(ssl);
    return ssl;
}
