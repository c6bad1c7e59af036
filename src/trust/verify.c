#include "trust/verify.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/keep.h"
#include "base/log.h"

enum {
    SECURITY_LEVEL = 2, // 112 bits: RSA 2048, no SHA-1
    RSA_EXPONENT_LEAST = 3,
    STAPLE_SLACK_S = 300,          // clocks differ
    STAPLE_AGE_S = 10 * 24 * 3600, // of a response that does not say when the next comes
    PRIME_ROUNDS = 8, // of Miller and Rabin: wrong once in 4^8 for what was built to deceive
    SUBJECT_TEXT_BYTES = 200,
    FEATURE_STATUS_REQUEST = 5, // RFC 7633: "must staple"
};

struct verify_roots {
    unsigned references;
    size_t count, list_count;
    uint64_t mark;
    X509_STORE *store;
};

/* ---- roots ---- */

/* Digests are added up, so that the order in a file does not matter. */
static void mark_bytes(struct verify_roots *roots, const unsigned char *der, long size)
{
    roots->mark += XXH3_64bits(der, (size_t)size);
}

static bool is_certificate(const char *name)
{
    return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0;
}

static bool add_block(struct verify_roots *roots, const char *name, const unsigned char *der,
                      long size)
{
    const unsigned char *at = der;
    bool good = true;

    if (is_certificate(name)) {
        X509 *certificate = d2i_X509(NULL, &at, size);

        good = certificate && X509_STORE_add_cert(roots->store, certificate);
        roots->count += good;
        X509_free(certificate);
    } else if (strcmp(name, PEM_STRING_X509_CRL) == 0) {
        X509_CRL *list = d2i_X509_CRL(NULL, &at, size);

        good = list && X509_STORE_add_crl(roots->store, list);
        roots->list_count += good;
        X509_CRL_free(list);
    } else {
        return true;
    }
    if (good)
        mark_bytes(roots, der, size);
    ERR_clear_error();
    return good;
}

static enum error_kind read_blocks(struct verify_roots *roots, BIO *pem, bool is_strict,
                                   struct error *error)
{
    char *name, *header;
    unsigned char *der;
    long size;
    enum error_kind kind = ERROR_NONE;

    while (!kind && PEM_read_bio(pem, &name, &header, &der, &size)) {
        if (!add_block(roots, name, der, size) && is_strict)
            kind = error_set(error, ERROR_CORRUPT, "a damaged certificate or revocation list");
        else if (roots->count + roots->list_count > VERIFY_ROOTS)
            kind = error_set(error, ERROR_LIMIT, "more than %d certificates", VERIFY_ROOTS);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    if (!kind && is_strict && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        kind = error_set(error, ERROR_CORRUPT, "a damaged certificate or revocation list");
    ERR_clear_error();
    return kind;
}

static void copy_objects(struct verify_roots *to, const struct verify_roots *from)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(from->store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509_OBJECT *object = sk_X509_OBJECT_value(objects, i);

        if (X509_OBJECT_get_type(object) == X509_LU_X509)
            X509_STORE_add_cert(to->store, X509_OBJECT_get0_X509(object));
        else if (X509_OBJECT_get_type(object) == X509_LU_CRL)
            X509_STORE_add_crl(to->store, X509_OBJECT_get0_X509_CRL(object));
    }
    to->count = from->count;
    to->list_count = from->list_count;
    to->mark = from->mark;
}

enum error_kind verify_roots_new(struct verify_roots **out, const struct verify_roots *base,
                                 struct span pem, struct error *error)
{
    struct verify_roots *roots;
    enum error_kind kind;
    size_t before;
    BIO *bio;

    if (pem.size > VERIFY_ROOTS_BYTES)
        return error_set(error, ERROR_LIMIT, "more than %d bytes of certificates",
                         VERIFY_ROOTS_BYTES);
    roots = calloc(1, sizeof *roots);
    bio = BIO_new_mem_buf(pem.size ? pem.at : "", (int)pem.size);
    if (!roots || !bio || !(roots->store = X509_STORE_new()))
        abort();
    roots->references = 1;
    if (base)
        copy_objects(roots, base);
    before = roots->count + roots->list_count;
    kind = read_blocks(roots, bio, base != NULL, error);
    BIO_free(bio);
    if (!kind && roots->count + roots->list_count == before)
        kind = error_set(error, ERROR_CONFIG, "no certificate in it");
    if (kind)
        verify_roots_unref(&roots);
    else
        *out = roots;
    return kind;
}

struct verify_roots *verify_roots_ref(struct verify_roots *roots)
{
    roots->references++;
    return roots;
}

void verify_roots_unref(struct verify_roots **roots)
{
    if (*roots && --(*roots)->references == 0) {
        X509_STORE_free((*roots)->store);
        free(*roots);
    }
    *roots = NULL;
}

size_t verify_roots_count(const struct verify_roots *roots)
{
    return roots->count;
}

uint64_t verify_roots_mark(const struct verify_roots *roots)
{
    return roots->mark;
}

static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
    "/etc/ssl/ca-bundle.pem",                            // SUSE
    "/etc/ssl/cert.pem",                                 // Alpine
};

enum error_kind verify_read_system_roots(struct buffer *pem, struct error *error)
{
    const char *path = getenv("SSL_CERT_FILE");
    enum error_kind kind;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (path && fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot open %s", path);
    for (size_t i = 0; fd < 0 && i < sizeof bundles / sizeof *bundles; i++)
        fd = open(path = bundles[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, ERROR_SYSTEM,
                         "no bundle of root certificates (Debian: install ca-certificates)");
    kind = keep_read_open(fd, path, pem, error);
    close(fd);
    return kind;
}

/* ---- names ---- */

enum error_kind verify_init(struct verify *verify, struct verify_roots *roots, struct span host,
                            struct error *error)
{
    char name[HOSTNAME_BYTES], shown[64];
    enum hostname_kind kind = hostname_read(name, host);

    if (kind == HOSTNAME_NONE)
        return error_set(error, ERROR_SYNTAX, "\"%s\" is no host name",
                         log_text(shown, sizeof shown, host));
    *verify =
        (struct verify){ .roots = verify_roots_ref(roots), .is_address = kind == HOSTNAME_ADDRESS };
    memcpy(verify->host, name, strlen(name) + 1);
    return ERROR_NONE;
}

void verify_done(struct verify *verify)
{
    verify_roots_unref(&verify->roots);
    free(verify->reason);
    verify->reason = NULL;
}

static bool address_matches(const GENERAL_NAME *name, const char *host)
{
    unsigned char address[ADDRESS_BYTES];
    size_t size = hostname_address(address, host);

    return size && (size_t)ASN1_STRING_length(name->d.iPAddress) == size &&
           memcmp(address, ASN1_STRING_get0_data(name->d.iPAddress), size) == 0;
}

static bool name_matches(const struct verify *verify, const GENERAL_NAME *name)
{
    if (verify->is_address)
        return name->type == GEN_IPADD && address_matches(name, verify->host);
    return name->type == GEN_DNS &&
           hostname_covers(span_of((const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                   (size_t)ASN1_STRING_length(name->d.dNSName)),
                           span_text(verify->host));
}

static enum error_kind check_names(const struct verify *verify, X509 *leaf, struct error *error)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    if (!names)
        return error_set(error, ERROR_TLS, "the certificate has no subject alternative names");
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
        found = name_matches(verify, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    if (!found)
        return error_set(error, ERROR_TLS, "the certificate is not for %s", verify->host);
    return ERROR_NONE;
}

/* ---- what OpenSSL lets pass ---- */

/* SHA-256 of the SubjectPublicKeyInfo of keys that anybody can sign with. */
static const struct {
    unsigned char digest[8]; // the first 64 bits are enough: a collision only tunnels
    const char *whose;
} published_keys[] = {
    { { 0x4b, 0xb8, 0xf3, 0x5b, 0xa1, 0xe1, 0x26, 0xf8 }, "Superfish" },
    { { 0xcd, 0xee, 0x9f, 0x33, 0x05, 0x57, 0x2a, 0x67 }, "eDellRoot" },
    { { 0x13, 0x0a, 0xd4, 0xe0, 0x63, 0x35, 0x21, 0x29 }, "DSDTestProvider" },
    { { 0x1a, 0xf5, 0x6c, 0x98, 0xff, 0x04, 0x3e, 0xf9 }, "Cyberoam" },
    { { 0x70, 0x7d, 0x36, 0x4e, 0x72, 0xae, 0x52, 0x14 }, "Mitel" },
    { { 0x6a, 0xdb, 0x8e, 0x3e, 0x05, 0x54, 0x60, 0x92 }, "Mitel" },
    { { 0x49, 0x0b, 0x6e, 0xc6, 0xbe, 0xb2, 0xd6, 0x03 }, "Mitel" },
    { { 0xef, 0x55, 0x12, 0x84, 0x71, 0x52, 0x32, 0xde }, "Mitel" },
    { { 0x0c, 0x43, 0xea, 0x8b, 0xcd, 0xe9, 0xfc, 0x3b }, "Sennheiser" },
    { { 0x8f, 0x59, 0x1f, 0x7a, 0xa4, 0xdc, 0x3e, 0xfe }, "Sennheiser" },
    { { 0x7d, 0x5e, 0x3f, 0x50, 0x50, 0x81, 0x97, 0xb9 }, "sslip.io" },
    { { 0xf2, 0xbb, 0xe0, 0x4c, 0x5d, 0xc7, 0x0d, 0x76 }, "xs4all" },
    { { 0x96, 0x8d, 0xba, 0x69, 0xfb, 0xff, 0x15, 0xbf }, "Dynamics 365" },
    { { 0x7c, 0xd2, 0x95, 0xb7, 0x55, 0x44, 0x80, 0x8a }, "Dynamics 365" },
    { { 0x96, 0x2e, 0x4b, 0x54, 0xbb, 0x98, 0xa7, 0xee }, "the Heartbleed challenge" },
    { { 0x32, 0xec, 0xc9, 0x6f, 0x91, 0x2f, 0x96, 0xd8 }, "Trustwave's interception" },
    { { 0xa9, 0x03, 0xaf, 0x8c, 0x07, 0xbb, 0x91, 0xb0 }, "DigiNotar" },
    { { 0x36, 0x17, 0xa8, 0xec, 0x38, 0x0a, 0x5c, 0xf0 }, "webpack-dev-server" },
    { { 0x68, 0x09, 0x71, 0xcb, 0x44, 0xb0, 0xfd, 0x56 }, "preact-cli" },
};

static const char *published_by(const unsigned char digest[32])
{
    for (size_t i = 0; i < sizeof published_keys / sizeof *published_keys; i++)
        if (memcmp(published_keys[i].digest, digest, sizeof published_keys[i].digest) == 0)
            return published_keys[i].whose;
    return NULL;
}

bool verify_key_is_published(const unsigned char digest[32])
{
    return published_by(digest) != NULL;
}

static enum error_kind check_published(X509 *certificate, struct error *error)
{
    unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    const char *whose;

    if (size < 0)
        return error_set(error, ERROR_TLS, "a certificate's key cannot be read");
    SHA256(der, (size_t)size, digest);
    OPENSSL_free(der);
    whose = published_by(digest);
    if (whose)
        return error_set(error, ERROR_TLS, "the private key of %s is published", whose);
    return ERROR_NONE;
}

static enum error_kind check_rsa(const EVP_PKEY *key, struct error *error)
{
    BIGNUM *exponent = NULL;
    bool good;

    if (EVP_PKEY_get_bits(key) > VERIFY_RSA_BITS)
        return error_set(error, ERROR_TLS, "an RSA key of %d bits", EVP_PKEY_get_bits(key));
    good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) && BN_is_odd(exponent) &&
           (BN_num_bits(exponent) > 31 || BN_get_word(exponent) >= RSA_EXPONENT_LEAST);
    BN_free(exponent);
    return good ? ERROR_NONE : error_set(error, ERROR_TLS, "an RSA key with a bad exponent");
}

/* The kinds that browsers take: RSA, and the three curves of NIST. */
static enum error_kind check_key(X509 *certificate, struct error *error)
{
    static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1" };
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    char curve[64] = "";

    if (!key)
        return error_set(error, ERROR_TLS, "a certificate's key cannot be read");
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return check_rsa(key, error);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        return error_set(error, ERROR_TLS, "a certificate's key is neither RSA nor ECDSA");
    EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(curve, curves[i]) == 0)
            return ERROR_NONE;
    return error_set(error, ERROR_TLS, "a certificate's key is on the curve %s", curve);
}

static enum error_kind check_signature(X509 *certificate, struct error *error)
{
    int digest = NID_undef, key, bits;
    uint32_t flags;

    if (!X509_get_signature_info(certificate, &digest, &key, &bits, &flags))
        return error_set(error, ERROR_TLS, "a certificate's signature is of an unknown kind");
    if (digest != NID_sha256 && digest != NID_sha384 && digest != NID_sha512)
        return error_set(error, ERROR_TLS, "a certificate is signed with %s",
                         digest == NID_undef ? "no digest" : OBJ_nid2ln(digest));
    return ERROR_NONE;
}

static enum error_kind check_leaf(struct verify *verify, X509 *leaf, struct error *error)
{
    uint32_t usage = X509_get_key_usage(leaf), purposes = X509_get_extended_key_usage(leaf);
    TLS_FEATURE *features;

    // UINT32_MAX where the certificate does not say.
    if (!(usage & KU_DIGITAL_SIGNATURE))
        return error_set(error, ERROR_TLS, "the certificate's key may not sign");
    if (!(purposes & XKU_SSL_SERVER))
        return error_set(error, ERROR_TLS, "the certificate is not for servers");
    features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
    for (int i = 0; features && i < sk_ASN1_INTEGER_num(features); i++)
        verify->must_staple |=
            ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == FEATURE_STATUS_REQUEST;
    sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
    return check_names(verify, leaf, error);
}

static enum error_kind check_chain(struct verify *verify, STACK_OF(X509) *chain,
                                   struct error *error)
{
    int count = sk_X509_num(chain);
    enum error_kind kind = ERROR_NONE;

    for (int i = 0; i < count && !kind; i++) {
        X509 *certificate = sk_X509_value(chain, i);

        kind = check_published(certificate, error);
        if (!kind)
            kind = check_key(certificate, error);
        // The last is ours, trusted as it is.
        if (!kind && i < count - 1)
            kind = check_signature(certificate, error);
        if (!kind && i > 0 && i < count - 1 && X509_check_ca(certificate) != 1)
            kind = error_set(error, ERROR_TLS, "an intermediate certificate is no authority's");
    }
    return kind ? kind : check_leaf(verify, sk_X509_value(chain, 0), error);
}

/* ---- the chain ---- */

static const char *subject_text(char *to, X509 *certificate)
{
    char name[SUBJECT_TEXT_BYTES] = "";

    if (certificate)
        X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof name);
    return log_text(to, SUBJECT_TEXT_BYTES, span_text(name));
}

const char *verify_chain_text(char *to, size_t size, STACK_OF(X509) *chain)
{
    char name[SUBJECT_TEXT_BYTES];
    size_t used = 0;

    assert(size > 0);
    to[0] = '\0';
    for (int i = 0; i < sk_X509_num(chain) && used < size - 1; i++) {
        int more = snprintf(to + used, size - used, "%s%s", i ? " < " : "",
                            subject_text(name, sk_X509_value(chain, i)));
        used = more < 0 || (size_t)more >= size - used ? size - 1 : used + (size_t)more;
    }
    return to;
}

void verify_prepare(const struct verify *verify, X509_VERIFY_PARAM *parameters)
{
    bool good = X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER) &&
                X509_VERIFY_PARAM_set_trust(parameters, X509_TRUST_SSL_SERVER);

    X509_VERIFY_PARAM_set_depth(parameters, VERIFY_INTERMEDIATES);
    X509_VERIFY_PARAM_set_auth_level(parameters, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (verify->is_address)
        good = good && X509_VERIFY_PARAM_set1_ip_asc(parameters, verify->host);
    else
        good = good && X509_VERIFY_PARAM_set1_host(parameters, verify->host, 0);
    if (verify->roots->list_count)
        good = good && X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_CRL_CHECK |
                                                                   X509_V_FLAG_CRL_CHECK_ALL);
    assert(good);
}

X509_STORE *verify_store(const struct verify *verify)
{
    return verify->roots->store;
}

/* Revocation lists are checked where they were given: an authority without one is no error, and
 * what an old list revokes stays revoked. All else is as OpenSSL says. */
static int on_verified(int good, X509_STORE_CTX *context)
{
    switch (X509_STORE_CTX_get_error(context)) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    default:
        return good;
    }
}

static void refuse(struct verify *verify, const struct error *reason)
{
    verify->is_refused = true;
    if (!verify->reason && !(verify->reason = malloc(sizeof *verify->reason)))
        abort();
    *verify->reason = *reason;
}

bool verify_chain(struct verify *verify, X509_STORE_CTX *context)
{
    char subject[SUBJECT_TEXT_BYTES];
    struct error error;
    int code;

    X509_STORE_CTX_set_verify_cb(context, on_verified);
    code = X509_verify_cert(context) == 1 ? X509_STORE_CTX_get_error(context) : 0;
    if (code == X509_V_OK && X509_STORE_CTX_get_error(context) == X509_V_OK &&
        X509_STORE_CTX_get0_chain(context)) {
        if (!check_chain(verify, X509_STORE_CTX_get0_chain(context), &error))
            return true;
        X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
    } else {
        code = X509_STORE_CTX_get_error(context);
        if (code == X509_V_OK)
            X509_STORE_CTX_set_error(context, code = X509_V_ERR_UNSPECIFIED);
        error_set(&error, ERROR_TLS, "%s (certificate %d, %s)", X509_verify_cert_error_string(code),
                  X509_STORE_CTX_get_error_depth(context),
                  subject_text(subject, X509_STORE_CTX_get_current_cert(context)));
    }
    refuse(verify, &error);
    return false;
}

enum error_kind verify_again(const struct verify *verify, X509 *leaf, struct error *error)
{
    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
        return error_set(error, ERROR_TLS, "certificate has expired");
    return check_names(verify, leaf, error);
}

/* ---- staples ---- */

enum staple { STAPLE_UNUSABLE, STAPLE_GOOD, STAPLE_REVOKED, STAPLE_UNKNOWN };

/* The response names the certificate by digests of its issuer; any usual digest will do. */
static bool is_about(const OCSP_SINGLERESP *single, X509 *leaf, X509 *issuer)
{
    const OCSP_CERTID *named = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *algorithm = NULL;
    const EVP_MD *digest;
    OCSP_CERTID *ours;
    bool same;

    OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, (OCSP_CERTID *)named);
    digest = EVP_get_digestbyobj(algorithm);
    ours = digest ? OCSP_cert_to_id(digest, leaf, issuer) : NULL;
    same = ours && OCSP_id_cmp(named, ours) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

static enum staple read_single(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
        int status;

        if (!is_about(single, leaf, issuer))
            continue;
        status = OCSP_single_get0_status(single, NULL, NULL, &from, &until);
        if (!OCSP_check_validity(from, until, STAPLE_SLACK_S, until ? -1 : STAPLE_AGE_S))
            continue;
        return status == V_OCSP_CERTSTATUS_GOOD      ? STAPLE_GOOD
               : status == V_OCSP_CERTSTATUS_REVOKED ? STAPLE_REVOKED
                                                     : STAPLE_UNKNOWN;
    }
    return STAPLE_UNUSABLE;
}

static enum staple read_staple(const struct verify *verify, STACK_OF(X509) *chain,
                               struct span staple)
{
    const unsigned char *at = (const unsigned char *)staple.at;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)staple.size);
    OCSP_BASICRESP *basic = NULL;
    enum staple result = STAPLE_UNUSABLE;

    if (response && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(response);
    if (basic && sk_X509_num(chain) > 1 &&
        OCSP_basic_verify(basic, chain, verify_store(verify), 0) == 1)
        result = read_single(basic, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return result;
}

enum error_kind verify_staple(const struct verify *verify, STACK_OF(X509) *chain,
                              struct span staple, struct error *error)
{
    switch (staple.size ? read_staple(verify, chain, staple) : STAPLE_UNUSABLE) {
    case STAPLE_GOOD:
        return ERROR_NONE;
    case STAPLE_REVOKED:
        return error_set(error, ERROR_TLS, "the certificate is revoked, says its OCSP staple");
    case STAPLE_UNKNOWN:
        return error_set(error, ERROR_TLS,
                         "the certificate is unknown to its authority, says its "
                         "OCSP staple");
    case STAPLE_UNUSABLE:
        break;
    }
    if (!verify->must_staple)
        return ERROR_NONE;
    return error_set(error, ERROR_TLS, "the certificate demands an OCSP staple, and %s",
                     staple.size ? "the one that came is not usable" : "none came");
}

/* ---- finite-field groups ---- */

/* Miller and Rabin with random bases. OpenSSL's own test does 64 rounds, which would hold up the
 * process for a fifth of a second. */
static bool is_prime(const BIGNUM *number, BN_CTX *context)
{
    BIGNUM *odd = BN_new(), *base = BN_new(), *power = BN_new(), *top = BN_dup(number);
    bool prime = odd && base && power && top && BN_is_odd(number) && BN_num_bits(number) > 8;
    int twos = 0;

    if (prime) {
        BN_sub_word(top, 1);
        while (!BN_is_bit_set(top, twos))
            twos++;
        BN_rshift(odd, top, twos);
    }
    for (int round = 0; prime && round < PRIME_ROUNDS; round++) {
        bool witness = true;

        prime = BN_rand_range(base, top) && BN_add_word(base, 1) &&
                BN_mod_exp(power, base, odd, number, context);
        if (BN_is_one(power) || BN_is_one(base))
            continue;
        for (int i = 0; i < twos && witness; i++) {
            witness = BN_cmp(power, top) != 0;
            prime = prime && BN_mod_sqr(power, power, number, context);
        }
        prime = prime && !witness;
    }
    BN_free(odd);
    BN_free(base);
    BN_free(power);
    BN_free(top);
    return prime;
}

/* Safe: (p - 1) / 2 is prime too, so that there is no small subgroup. */
static bool is_safe_prime(const BIGNUM *number)
{
    BN_CTX *context = BN_CTX_new();
    BIGNUM *half = BN_new();
    bool safe = context && half && is_prime(number, context) && BN_rshift1(half, number) &&
                is_prime(half, context);

    BN_free(half);
    BN_CTX_free(context);
    return safe;
}

enum error_kind verify_group(EVP_PKEY *key, struct error *error)
{
    char group[64] = "";
    BIGNUM *prime = NULL;
    bool safe;

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_DH)
        return ERROR_NONE;
    if (EVP_PKEY_get_bits(key) < 2048)
        return error_set(error, ERROR_TLS, "a Diffie-Hellman group of %d bits",
                         EVP_PKEY_get_bits(key));
    // A group of RFC 7919 or RFC 3526 has a name.
    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) && group[0])
        return ERROR_NONE;
    if (EVP_PKEY_get_bits(key) > VERIFY_CUSTOM_GROUP_BITS)
        return error_set(error, ERROR_TLS, "a Diffie-Hellman group of the origin's own, of %d bits",
                         EVP_PKEY_get_bits(key));
    safe = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_FFC_P, &prime) && is_safe_prime(prime);
    BN_free(prime);
    if (!safe)
        return error_set(error, ERROR_TLS, "a Diffie-Hellman group without a safe prime");
    return ERROR_NONE;
}
