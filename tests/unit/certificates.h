/*
 * certificates.h - for tests: certificates made to order, and TLS handshakes in memory.
 */
#ifndef DEJUNK_TESTS_CERTIFICATES_H
#define DEJUNK_TESTS_CERTIFICATES_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

struct made {
    X509 *certificate;
    EVP_PKEY *key;
};

struct recipe {
    const char *cn;            // NULL: an empty subject
    const char *names;         // "DNS:a.example,IP:127.0.0.1"; NULL: none
    const struct made *issuer; // NULL: signs itself
    const char *key;           // "P-256" (NULL), "RSA:2048", another curve's name, "ED25519"
    const char *digest;        // "SHA256" (NULL)
    int from_days, until_days; // from now; both 0: -1 to 30
    const char *basic;         // basicConstraints
    const char *usage;         // keyUsage
    const char *purposes;      // extendedKeyUsage
    const char *constraints;   // nameConstraints
    const char *feature;       // tlsfeature
    const char *other;         // "OID=critical,DER:05:00"
    const EVP_PKEY *old_key;   // takes this one
};

#define ROOT_RECIPE(name)                                                                          \
    {                                                                                              \
        .cn = (name), .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign,cRLSign"         \
    }
#define LEAF_USAGE .usage = "critical,digitalSignature", .purposes = "serverAuth"

static inline EVP_PKEY *make_key(const char *kind)
{
    if (!kind)
        kind = "P-256";
    if (strncmp(kind, "RSA:", 4) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)strtoul(kind + 4, NULL, 10));
    if (strcmp(kind, "ED25519") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
}

static inline void add_extension(X509 *to, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    if (!value)
        return;
    X509V3_set_ctx(&context, issuer, to, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (!extension) {
        fprintf(stderr, "no extension from \"%s\"\n", value);
        ERR_print_errors_fp(stderr);
        abort();
    }
    X509_add_ext(to, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline void add_other(X509 *to, const char *text)
{
    char oid[64];
    const char *equals = text ? strchr(text, '=') : NULL;
    X509_EXTENSION *extension;

    if (!equals)
        return;
    snprintf(oid, sizeof oid, "%.*s", (int)(equals - text), text);
    extension = X509V3_EXT_conf(NULL, NULL, oid, equals + 1);
    if (!extension)
        abort();
    X509_add_ext(to, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline struct made make_certificate(const struct recipe *recipe)
{
    struct made made = { X509_new(),
                         recipe->old_key ? (EVP_PKEY *)recipe->old_key : make_key(recipe->key) };
    X509 *issuer = recipe->issuer ? recipe->issuer->certificate : made.certificate;
    EVP_PKEY *signer = recipe->issuer ? recipe->issuer->key : made.key;
    bool dated = recipe->from_days || recipe->until_days;
    static long serial = 1000;
    const EVP_MD *digest = EVP_get_digestbyname(recipe->digest ? recipe->digest : "SHA256");

    if (!made.key)
        abort();
    if (recipe->old_key)
        EVP_PKEY_up_ref(made.key);
    X509_set_version(made.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate),
                    (dated ? recipe->from_days : -1) * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate),
                    (dated ? recipe->until_days : 30) * 86400L);
    if (recipe->cn)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(made.certificate), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)recipe->cn, -1, -1, 0);
    X509_set_issuer_name(made.certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(made.certificate, made.key);
    add_extension(made.certificate, issuer, NID_basic_constraints, recipe->basic);
    add_extension(made.certificate, issuer, NID_key_usage, recipe->usage);
    add_extension(made.certificate, issuer, NID_ext_key_usage, recipe->purposes);
    add_extension(made.certificate, issuer, NID_subject_alt_name, recipe->names);
    add_extension(made.certificate, issuer, NID_name_constraints, recipe->constraints);
    add_extension(made.certificate, issuer, NID_tlsfeature, recipe->feature);
    add_extension(made.certificate, issuer, NID_subject_key_identifier, "hash");
    add_other(made.certificate, recipe->other);
    if (!X509_sign(made.certificate, signer,
                   EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : digest))
        abort();
    return made;
}

static inline void free_made(struct made *made)
{
    X509_free(made->certificate);
    EVP_PKEY_free(made->key);
    *made = (struct made){ 0 };
}

/* Free with buffer_release(). */
static inline struct buffer pem_of(X509 *certificate)
{
    struct buffer pem = { .limit_bytes = 1 << 20 };
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long size;

    PEM_write_bio_X509(bio, certificate);
    size = BIO_get_mem_data(bio, &at);
    if (!buffer_append(&pem, span_of(at, (size_t)size)))
        abort();
    BIO_free(bio);
    return pem;
}

/* Joins two SSLs and lets them talk until both are done or stuck; true when both have finished. */
static inline bool shake_hands(SSL *client, SSL *server)
{
    BIO *a, *b;
    bool done[2] = { false, false };

    BIO_new_bio_pair(&a, 0, &b, 0);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    SSL_set_accept_state(server);
    for (int i = 0; i < 200 && !(done[0] && done[1]); i++) {
        SSL *ssl = i % 2 ? server : client;
        int result = SSL_do_handshake(ssl);
        int reason = SSL_get_error(ssl, result);

        done[i % 2] = result == 1;
        if (result != 1 && reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
            break;
    }
    ERR_clear_error();
    return done[0] && done[1];
}

#endif
