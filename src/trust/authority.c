#include "trust/authority.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "trust/certificates.h"

enum {
    DAY_S = 24 * 3600,
    SERIAL_BITS = 128,
    COMMON_NAME_BYTES = 64, // RFC 5280, ub-common-name
    SCRYPT_N = 1 << 14,     // 16 MB: as much as OpenSSL lets PKCS #8 take is 32
    SCRYPT_R = 8,
    SCRYPT_P = 1,
};

struct authority {
    STACK_OF(X509) *chain; // the issuer first, the topmost last
    EVP_PKEY *key;         // the issuer's
    X509_SIG *root_key;    // under a passphrase; NULL: it is gone
    struct constraints *constraints;
    bool is_own; // a company's
    AUTHORITY_KEYID *key_id;
    unsigned char checked_key[SIGN_KEY_BYTES]; // the last one that was found to be a point
};

static X509 *issuer_of(const struct authority *authority)
{
    return sk_X509_value(authority->chain, 0);
}

static X509 *root_of(const struct authority *authority)
{
    return sk_X509_value(authority->chain, sk_X509_num(authority->chain) - 1);
}

void authority_free(struct authority **authority)
{
    if (!*authority)
        return;
    sk_X509_pop_free((*authority)->chain, X509_free);
    EVP_PKEY_free((*authority)->key);
    X509_SIG_free((*authority)->root_key);
    constraints_free(&(*authority)->constraints);
    AUTHORITY_KEYID_free((*authority)->key_id);
    free(*authority);
    *authority = NULL;
}

/* What every leaf says of its issuer. */
static AUTHORITY_KEYID *key_id_of(X509 *issuer)
{
    const ASN1_OCTET_STRING *name = X509_get0_subject_key_id(issuer);
    AUTHORITY_KEYID *id = name ? AUTHORITY_KEYID_new() : NULL;

    if (id)
        id->keyid = ASN1_OCTET_STRING_dup(name);
    return id;
}

/* Takes all of it over, on failure too. */
static enum error_kind put_together(struct authority **out, STACK_OF(X509) *chain, EVP_PKEY *key,
                                    X509_SIG *root_key, bool is_own, struct error *error)
{
    struct authority *authority = calloc(1, sizeof *authority);
    enum error_kind kind;

    if (!authority)
        abort();
    authority->chain = chain;
    authority->key = key;
    authority->root_key = root_key;
    authority->is_own = is_own;
    kind = constraints_of(&authority->constraints, issuer_of(authority), error);
    if (kind) {
        authority_free(&authority);
        return kind;
    }
    authority->key_id = key_id_of(issuer_of(authority));
    *out = authority;
    return ERROR_NONE;
}

/* ---- certificates ---- */

static void put_extension(X509 *certificate, int nid, void *value, bool critical)
{
    if (X509_add1_ext_i2d(certificate, nid, value, critical, X509V3_ADD_DEFAULT) != 1)
        abort();
}

static void put_authority_constraints(X509 *certificate, bool is_last)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();

    if (!basic)
        abort();
    basic->ca = 0xff;
    if (is_last && (!(basic->pathlen = ASN1_INTEGER_new()) || !ASN1_INTEGER_set(basic->pathlen, 0)))
        abort();
    put_extension(certificate, NID_basic_constraints, basic, true);
    BASIC_CONSTRAINTS_free(basic);
}

static void put_usage(X509 *certificate, const int *bits, size_t count)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();

    if (!usage)
        abort();
    for (size_t i = 0; i < count; i++)
        if (!ASN1_BIT_STRING_set_bit(usage, bits[i], 1))
            abort();
    put_extension(certificate, NID_key_usage, usage, true);
    ASN1_BIT_STRING_free(usage);
}

static void put_server_purpose(X509 *certificate)
{
    EXTENDED_KEY_USAGE *purposes = sk_ASN1_OBJECT_new_null();

    if (!purposes || !sk_ASN1_OBJECT_push(purposes, OBJ_nid2obj(NID_server_auth)))
        abort();
    put_extension(certificate, NID_ext_key_usage, purposes, false);
    sk_ASN1_OBJECT_free(purposes); // the object is OpenSSL's own table
}

static void put_key_ids(X509 *certificate, X509 *issuer)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *of_issuer;

    if (!id || !X509_pubkey_digest(certificate, EVP_sha1(), digest, &size) ||
        !ASN1_OCTET_STRING_set(id, digest, (int)size))
        abort();
    put_extension(certificate, NID_subject_key_identifier, id, false);
    ASN1_OCTET_STRING_free(id);
    of_issuer = issuer ? key_id_of(issuer) : NULL;
    if (of_issuer)
        put_extension(certificate, NID_authority_key_identifier, of_issuer, false);
    AUTHORITY_KEYID_free(of_issuer);
}

static void put_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();

    if (!number)
        abort();
    do
        if (!BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY))
            abort();
    while (BN_is_zero(number));
    if (!BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)))
        abort();
    BN_free(number);
}

static void put_dates(X509 *certificate, time_t from, time_t until)
{
    if (!ASN1_TIME_set(X509_getm_notBefore(certificate), from) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), until))
        abort();
}

static X509 *new_certificate(void)
{
    X509 *certificate = X509_new();

    if (!certificate || !X509_set_version(certificate, X509_VERSION_3))
        abort();
    put_serial(certificate);
    return certificate;
}

static void put_subject(X509 *certificate, const char *common_name)
{
    if (!X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                    (const unsigned char *)common_name, -1, -1, 0))
        abort();
}

/* A root where issuer is NULL. */
static X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *signer,
                              const struct authority_plan *plan)
{
    static const int usage[] = { 5, 6 }; // keyCertSign, cRLSign
    X509 *certificate = new_certificate();
    time_t from = plan->now - AUTHORITY_BACKDATE_S;
    time_t until = from + (time_t)AUTHORITY_LIFETIME_DAYS * DAY_S;

    if (issuer && until > certificates_time(X509_get0_notAfter(issuer)))
        until = certificates_time(X509_get0_notAfter(issuer));
    put_dates(certificate, from, until);
    put_subject(certificate, name);
    if (!X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate)) ||
        !X509_set_pubkey(certificate, key))
        abort();
    put_authority_constraints(certificate, issuer != NULL);
    put_usage(certificate, usage, sizeof usage / sizeof *usage);
    put_key_ids(certificate, issuer);
    if (issuer) {
        put_server_purpose(certificate);
        if (plan->constraints)
            constraints_put(plan->constraints, certificate);
    }
    if (!X509_sign(certificate, signer, EVP_sha256()))
        abort();
    return certificate;
}

/* ---- making ---- */

/* "dejunk root HOST 1a2b3c4d": a name that is no other installation's. */
static void make_name(char to[COMMON_NAME_BYTES + 1], const char *what, struct span label,
                      uint32_t mark)
{
    char clean[AUTHORITY_LABEL_BYTES + 1];
    size_t size = 0;

    for (size_t i = 0; i < label.size && size < AUTHORITY_LABEL_BYTES; i++) {
        char c = label.at[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_')
            clean[size++] = c;
    }
    clean[size] = '\0';
    snprintf(to, COMMON_NAME_BYTES + 1, "dejunk %s%s%s %08x", what, size ? " " : "", clean,
             (unsigned)mark);
}

static uint32_t random_mark(void)
{
    unsigned char bytes[4];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        abort();
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

    if (!key)
        abort();
    return key;
}

static enum error_kind seal_key(X509_SIG **out, EVP_PKEY *key, const char *passphrase,
                                struct error *error)
{
    PKCS8_PRIV_KEY_INFO *plain;
    X509_ALGOR *how;

    if (strlen(passphrase) < AUTHORITY_PASSPHRASE_BYTES)
        return error_set(error, ERROR_CONFIG, "a passphrase has at least %d characters",
                         AUTHORITY_PASSPHRASE_BYTES);
    plain = EVP_PKEY2PKCS8(key);
    how = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    if (!plain || !how || !(*out = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, how)))
        abort();
    PKCS8_PRIV_KEY_INFO_free(plain);
    return ERROR_NONE;
}

static enum error_kind unseal_key(EVP_PKEY **out, const X509_SIG *sealed, const char *passphrase,
                                  struct error *error)
{
    PKCS8_PRIV_KEY_INFO *plain = PKCS8_decrypt(sealed, passphrase, (int)strlen(passphrase));

    *out = plain ? EVP_PKCS82PKEY(plain) : NULL;
    PKCS8_PRIV_KEY_INFO_free(plain);
    ERR_clear_error();
    return *out ? ERROR_NONE : error_set(error, ERROR_FORBIDDEN, "that is not the passphrase");
}

static STACK_OF(X509) *chain_of(X509 *issuer, X509 *root)
{
    STACK_OF(X509) *chain = sk_X509_new_null();

    if (!chain || !sk_X509_push(chain, issuer) || !sk_X509_push(chain, root))
        abort();
    return chain;
}

enum error_kind authority_make(struct authority **out, const struct authority_plan *plan,
                               struct error *error)
{
    uint32_t mark = random_mark();
    char root_name[COMMON_NAME_BYTES + 1], issuer_name[COMMON_NAME_BYTES + 1];
    EVP_PKEY *root_key = make_key(), *key;
    X509_SIG *sealed = NULL;
    X509 *root, *issuer;
    enum error_kind kind = ERROR_NONE;

    if (plan->passphrase)
        kind = seal_key(&sealed, root_key, plan->passphrase, error);
    if (kind) {
        EVP_PKEY_free(root_key);
        return kind;
    }
    key = make_key();
    make_name(root_name, "root", plan->label, mark);
    make_name(issuer_name, "signer", plan->label, mark);
    root = make_certificate(root_name, root_key, NULL, root_key, plan);
    issuer = make_certificate(issuer_name, key, root, root_key, plan);
    EVP_PKEY_free(root_key);
    return put_together(out, chain_of(issuer, root), key, sealed, false, error);
}

enum error_kind authority_renew(struct authority **out, const struct authority *old,
                                const struct authority_plan *plan, struct error *error)
{
    char name[COMMON_NAME_BYTES + 1];
    X509 *root = root_of(old), *issuer;
    EVP_PKEY *root_key, *key;
    enum error_kind kind;

    if (!old->root_key || !plan->passphrase)
        return error_set(error, ERROR_CONFIG, "the root's key was not kept");
    kind = unseal_key(&root_key, old->root_key, plan->passphrase, error);
    if (kind)
        return kind;
    key = make_key();
    make_name(name, "signer", plan->label, random_mark());
    issuer = make_certificate(name, key, root, root_key, plan);
    EVP_PKEY_free(root_key);
    X509_up_ref(root);
    return put_together(out, chain_of(issuer, root), key,
                        ASN1_item_dup(ASN1_ITEM_rptr(X509_SIG), old->root_key), false, error);
}

/* ---- a company's ---- */

/* Never asks for a passphrase: the signer has nobody to ask. */
static EVP_PKEY *read_key(struct span pem)
{
    BIO *bio = BIO_new_mem_buf(pem.size ? pem.at : "", (int)pem.size);
    EVP_PKEY *key;

    if (!bio)
        abort();
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, "");
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static enum error_kind check_own(X509 *issuer, EVP_PKEY *key, time_t now, struct error *error)
{
    if (!key)
        return error_set(error, ERROR_CONFIG, "the key cannot be read (is it under a passphrase?)");
    if (X509_check_private_key(issuer, key) != 1) {
        ERR_clear_error();
        return error_set(error, ERROR_CONFIG, "the key is not the certificate's");
    }
    if (X509_check_ca(issuer) != 1 || !(X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN))
        return error_set(error, ERROR_CONFIG, "the certificate is no authority's");
    if (!(X509_get_extended_key_usage(issuer) & XKU_SSL_SERVER))
        return error_set(error, ERROR_CONFIG, "the authority may not sign for servers");
    if (certificates_time(X509_get0_notBefore(issuer)) > now ||
        certificates_time(X509_get0_notAfter(issuer)) <= now)
        return error_set(error, ERROR_CONFIG, "the certificate is not valid now");
    if (EVP_PKEY_get_security_bits(key) < 112 ||
        (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA))
        return error_set(error, ERROR_CONFIG, "the key is weak, or neither RSA nor ECDSA");
    return ERROR_NONE;
}

enum error_kind authority_own(struct authority **out, struct span certificates, struct span key_pem,
                              time_t now, struct error *error)
{
    STACK_OF(X509) *chain;
    EVP_PKEY *key;
    enum error_kind kind;

    if (certificates.size > AUTHORITY_TEXT_BYTES || key_pem.size > AUTHORITY_TEXT_BYTES)
        return error_set(error, ERROR_LIMIT, "more than %d bytes", AUTHORITY_TEXT_BYTES);
    kind = certificates_read(&chain, certificates, error);
    if (kind)
        return kind;
    key = read_key(key_pem);
    kind = check_own(sk_X509_value(chain, 0), key, now, error);
    if (kind) {
        sk_X509_pop_free(chain, X509_free);
        EVP_PKEY_free(key);
        return kind;
    }
    return put_together(out, chain, key, NULL, true, error);
}

/* ---- as text ---- */

static void append_bio(struct buffer *to, BIO *bio)
{
    char *at;
    long size = BIO_get_mem_data(bio, &at);

    if (!buffer_append(to, span_of(at, (size_t)size)))
        abort(); // what we make is far below any limit
    OPENSSL_cleanse(at, (size_t)size);
    BIO_free(bio);
}

static BIO *new_bio(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    if (!bio)
        abort();
    return bio;
}

void authority_write(const struct authority *authority, struct buffer *text)
{
    BIO *bio = new_bio();

    for (int i = 0; i < sk_X509_num(authority->chain); i++)
        if (!PEM_write_bio_X509(bio, sk_X509_value(authority->chain, i)))
            abort();
    if (!PEM_write_bio_PrivateKey(bio, authority->key, NULL, NULL, 0, NULL, NULL))
        abort();
    if (authority->root_key && !PEM_write_bio_PKCS8(bio, authority->root_key))
        abort();
    append_bio(text, bio);
}

enum error_kind authority_read(struct authority **out, struct span text, struct error *error)
{
    BIO *bio = BIO_new_mem_buf(text.size ? text.at : "", (int)text.size);
    STACK_OF(X509) *chain = NULL;
    X509_SIG *sealed;
    EVP_PKEY *key;
    enum error_kind kind;

    if (!bio)
        abort();
    sealed = PEM_read_bio_PKCS8(bio, NULL, NULL, NULL);
    BIO_free(bio);
    kind = certificates_read(&chain, text, error);
    if (kind) {
        X509_SIG_free(sealed);
        return error_set(error, ERROR_CORRUPT, "the authority's certificates cannot be read");
    }
    key = read_key(text);
    if (!key || X509_check_private_key(sk_X509_value(chain, 0), key) != 1) {
        ERR_clear_error();
        sk_X509_pop_free(chain, X509_free);
        EVP_PKEY_free(key);
        X509_SIG_free(sealed);
        return error_set(error, ERROR_CORRUPT, "the authority's key cannot be read");
    }
    return put_together(out, chain, key, sealed, false, error);
}

/* ---- what may be known ---- */

void authority_root_pem(const struct authority *authority, struct buffer *pem)
{
    certificates_write(pem, root_of(authority));
}

void authority_chain_pem(const struct authority *authority, struct buffer *pem)
{
    for (int i = 0; i < sk_X509_num(authority->chain); i++) {
        X509 *certificate = sk_X509_value(authority->chain, i);

        // A root is not sent: who trusts it has it. Unless it signs leaves itself.
        if (i == 0 || X509_check_issued(certificate, certificate) != X509_V_OK)
            certificates_write(pem, certificate);
    }
}

void authority_fingerprint(const struct authority *authority,
                           unsigned char to[AUTHORITY_FINGERPRINT_BYTES])
{
    unsigned size;

    if (!X509_digest(root_of(authority), EVP_sha256(), to, &size) ||
        size != AUTHORITY_FINGERPRINT_BYTES)
        abort();
}

const char *authority_name(const struct authority *authority, char *to)
{
    char name[COMMON_NAME_BYTES * 2] = "";

    if (X509_NAME_get_text_by_NID(X509_get_subject_name(root_of(authority)), NID_commonName, name,
                                  sizeof name) < 0)
        X509_NAME_oneline(X509_get_subject_name(root_of(authority)), name, sizeof name);
    return log_text(to, AUTHORITY_NAME_BYTES, span_text(name));
}

time_t authority_until(const struct authority *authority)
{
    time_t until = certificates_time(X509_get0_notAfter(issuer_of(authority)));

    for (int i = 1; i < sk_X509_num(authority->chain); i++) {
        time_t other = certificates_time(X509_get0_notAfter(sk_X509_value(authority->chain, i)));

        if (other < until)
            until = other;
    }
    return until;
}

time_t authority_from(const struct authority *authority)
{
    return certificates_time(X509_get0_notBefore(issuer_of(authority)));
}

bool authority_has_root_key(const struct authority *authority)
{
    return authority->root_key != NULL;
}

bool authority_is_own(const struct authority *authority)
{
    return authority->is_own;
}

const struct constraints *authority_constraints(const struct authority *authority)
{
    return authority->constraints;
}

/* ---- signing ---- */

/* Is it a point of the curve? Workers send the same one each time. */
static bool is_point(struct authority *authority, const unsigned char *key)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)key, SIGN_KEY_BYTES),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *context;
    EVP_PKEY *point = NULL;

    if (memcmp(authority->checked_key, key, SIGN_KEY_BYTES) == 0)
        return true;
    context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!context || EVP_PKEY_fromdata_init(context) != 1)
        abort();
    if (EVP_PKEY_fromdata(context, &point, EVP_PKEY_PUBLIC_KEY, parameters) == 1)
        memcpy(authority->checked_key, key, SIGN_KEY_BYTES);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    if (!point)
        return false;
    EVP_PKEY_free(point);
    return true;
}

/* Not X509_set_pubkey(): encoding a key object takes OpenSSL 3.0 six times as long as signing. */
static void put_key(X509 *certificate, const unsigned char *key)
{
    unsigned char *copy = OPENSSL_memdup(key, SIGN_KEY_BYTES);

    if (!copy || !X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate),
                                         OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
                                         OBJ_nid2obj(NID_X9_62_prime256v1), copy, SIGN_KEY_BYTES))
        abort();
}

static void put_names(X509 *certificate, const struct sign_request *request, bool is_critical)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

    if (!names)
        abort();
    for (size_t i = 0; i < request->name_count; i++) {
        bool is_name = request->names[i].kind == HOSTNAME_NAME;
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = ASN1_STRING_type_new(is_name ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

        if (!name || !value ||
            !ASN1_STRING_set(value, request->names[i].bytes.at,
                             (int)request->names[i].bytes.size) ||
            !sk_GENERAL_NAME_push(names, name))
            abort();
        GENERAL_NAME_set0_value(name, is_name ? GEN_DNS : GEN_IPADD, value);
    }
    put_extension(certificate, NID_subject_alt_name, names, is_critical);
    GENERAL_NAMES_free(names);
}

/* The first host name that fits; an empty subject where there is none, which is as good. */
static bool put_leaf_subject(X509 *certificate, const struct authority *authority,
                             const struct sign_request *request)
{
    char name[COMMON_NAME_BYTES + 1];

    if (constraints_limit_subjects(authority->constraints))
        return false;
    for (size_t i = 0; i < request->name_count; i++) {
        struct span bytes = request->names[i].bytes;

        if (request->names[i].kind == HOSTNAME_NAME && bytes.size <= COMMON_NAME_BYTES) {
            memcpy(name, bytes.at, bytes.size);
            name[bytes.size] = '\0';
            put_subject(certificate, name);
            return true;
        }
    }
    return false;
}

static X509 *build_leaf(const struct authority *authority, const struct sign_request *request,
                        time_t now)
{
    static const int usage[] = { 0 }; // digitalSignature
    X509 *leaf = new_certificate(), *issuer = issuer_of(authority);
    time_t from = now - AUTHORITY_BACKDATE_S, until = from + request->lifetime_s - 1;
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    bool has_subject;

    if (from < certificates_time(X509_get0_notBefore(issuer)))
        from = certificates_time(X509_get0_notBefore(issuer));
    if (until > certificates_time(X509_get0_notAfter(issuer)))
        until = certificates_time(X509_get0_notAfter(issuer));
    put_dates(leaf, from, until);
    has_subject = put_leaf_subject(leaf, authority, request);
    if (!basic || !X509_set_issuer_name(leaf, X509_get_subject_name(issuer)))
        abort();
    put_key(leaf, request->key);
    put_extension(leaf, NID_basic_constraints, basic, true); // CA:FALSE
    BASIC_CONSTRAINTS_free(basic);
    put_usage(leaf, usage, 1);
    put_server_purpose(leaf);
    put_names(leaf, request, !has_subject);
    if (authority->key_id)
        put_extension(leaf, NID_authority_key_identifier, authority->key_id, false);
    return leaf;
}

static bool are_allowed(const struct authority *authority, const struct sign_request *request)
{
    for (size_t i = 0; i < request->name_count; i++) {
        const struct sign_name *name = &request->names[i];

        if (name->kind == HOSTNAME_NAME
                ? !constraints_allow_name(authority->constraints, name->bytes)
                : !constraints_allow_address(authority->constraints, name->bytes))
            return false;
    }
    return true;
}

enum sign_outcome authority_sign(struct authority *authority, const struct sign_request *request,
                                 time_t now, struct buffer *der)
{
    enum sign_outcome outcome = sign_judge(request);
    unsigned char *at;
    X509 *leaf;
    int size;

    if (outcome != SIGN_DONE)
        return outcome;
    if (!are_allowed(authority, request))
        return SIGN_NAME;
    if (!is_point(authority, request->key))
        return SIGN_KEY;
    if (now >= authority_until(authority) || now < authority_from(authority))
        return SIGN_FAILED;
    leaf = build_leaf(authority, request, now);
    size = X509_sign(leaf, authority->key, EVP_sha256()) ? i2d_X509(leaf, NULL) : -1;
    if (size > 0 && size <= SIGN_CERTIFICATE_BYTES && buffer_reserve(der, (size_t)size)) {
        at = (unsigned char *)der->at + der->size;
        i2d_X509(leaf, &at);
        der->size += (size_t)size;
    } else {
        outcome = SIGN_FAILED;
    }
    X509_free(leaf);
    return outcome;
}
