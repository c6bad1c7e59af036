/* What a browser would refuse of certificates, and what it would take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/ocsp.h>
#include <openssl/dh.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "certificates.h"
#include "trust/verify.h"

enum who { NOBODY, THE_ROOT, THE_CA, THE_RSA_CA, THE_ROGUE, AUTHORITIES };
static struct made made_by[AUTHORITIES];
static struct verify_roots *roots;

static struct verify_roots *roots_of(X509 *certificate, struct verify_roots *base)
{
    struct buffer pem = pem_of(certificate);
    struct verify_roots *set = NULL;
    struct error error;

    if (verify_roots_new(&set, base, buffer_span(&pem), &error))
        fail_msg("%s", error.text);
    buffer_release(&pem);
    return set;
}

static int set_up(void **state)
{
    (void)state;
    made_by[THE_ROOT] = make_certificate(&(struct recipe)ROOT_RECIPE("test root"));
    made_by[THE_ROGUE] = make_certificate(&(struct recipe)ROOT_RECIPE("rogue root"));
    made_by[THE_CA] = make_certificate(&(struct recipe){ .cn = "test CA",
                                                         .issuer = &made_by[THE_ROOT],
                                                         .basic = "critical,CA:TRUE,pathlen:0",
                                                         .usage = "critical,keyCertSign,cRLSign" });
    made_by[THE_RSA_CA] =
        make_certificate(&(struct recipe){ .cn = "test RSA CA",
                                           .issuer = &made_by[THE_ROOT],
                                           .basic = "critical,CA:TRUE,pathlen:0",
                                           .usage = "critical,keyCertSign,cRLSign",
                                           .key = "RSA:2048" });
    roots = roots_of(made_by[THE_ROOT].certificate, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 1; i < AUTHORITIES; i++)
        free_made(&made_by[i]);
    verify_roots_unref(&roots);
    return 0;
}

/* Verifies as a handshake would; returns "" or the reason. */
static const char *judge(struct verify_roots *set, X509 *leaf, STACK_OF(X509) *sent,
                         const char *host, bool *must_staple)
{
    static char text[500];
    struct verify verify;
    struct error error;
    X509_STORE_CTX *context = X509_STORE_CTX_new();

    if (verify_init(&verify, set, span_text(host), &error))
        fail_msg("%s", error.text);
    X509_STORE_CTX_init(context, verify_store(&verify), leaf, sent);
    verify_prepare(&verify, X509_STORE_CTX_get0_param(context));
    snprintf(text, sizeof text, "%s", verify_chain(&verify, context) ? "" : verify.reason->text);
    assert_int_equal(text[0] != '\0', verify.is_refused);
    assert_int_equal(text[0] != '\0', X509_STORE_CTX_get_error(context) != X509_V_OK);
    if (must_staple)
        *must_staple = verify.must_staple;
    X509_STORE_CTX_free(context);
    verify_done(&verify);
    ERR_clear_error();
    return text;
}

#define HOST "a.test.example"
#define GOOD_NAMES .names = "DNS:" HOST
#define GOOD .cn = HOST, GOOD_NAMES, LEAF_USAGE

static const struct {
    const char *name;
    enum who issuer;
    struct recipe recipe;
    const char *host; // NULL: HOST
    const char *want; // a part of the reason; "": good
} rows[] = {
    { "good", THE_CA, { GOOD }, NULL, "" },
    { "good, from the root itself", THE_ROOT, { GOOD }, NULL, "" },
    { "no subject", THE_CA, { .names = "critical,DNS:" HOST, LEAF_USAGE }, NULL, "" },
    { "no key usage, no purposes", THE_CA, { .cn = "x", GOOD_NAMES }, NULL, "" },
    { "RSA 2048", THE_CA, { GOOD, .key = "RSA:2048" }, NULL, "" },
    { "P-384, SHA-384", THE_CA, { GOOD, .key = "P-384", .digest = "SHA384" }, NULL, "" },
    { "P-521, SHA-512", THE_CA, { GOOD, .key = "P-521", .digest = "SHA512" }, NULL, "" },
    { "second name",
      THE_CA,
      { .cn = "x", .names = "DNS:b.example,DNS:" HOST, LEAF_USAGE },
      NULL,
      "" },
    { "last dot asked", THE_CA, { GOOD }, HOST ".", "" },
    { "expired", THE_CA, { GOOD, .from_days = -9, .until_days = -1 }, NULL, "has expired" },
    { "not yet valid", THE_CA, { GOOD, .from_days = 1, .until_days = 9 }, NULL, "not yet valid" },
    { "other host", THE_CA, { .cn = HOST, .names = "DNS:b.example", LEAF_USAGE }, NULL, "ostname" },
    { "common name only", THE_CA, { .cn = HOST, LEAF_USAGE }, NULL, "ostname" },
    { "mail name only",
      THE_CA,
      { .cn = HOST, .names = "email:x@" HOST, LEAF_USAGE },
      NULL,
      "ostname" },
    { "name for an address",
      THE_CA,
      { .cn = "127.0.0.1", GOOD_NAMES, LEAF_USAGE },
      "127.0.0.1",
      "IP address" },
    { "for clients",
      THE_CA,
      { .cn = "x", GOOD_NAMES, .usage = "digitalSignature", .purposes = "clientAuth" },
      NULL,
      "purpose" },
    { "for anything",
      THE_CA,
      { .cn = "x", GOOD_NAMES, .usage = "digitalSignature", .purposes = "anyExtendedKeyUsage" },
      NULL,
      "purpose" },
    { "may not sign",
      THE_CA,
      { .cn = "x", GOOD_NAMES, .usage = "keyEncipherment", .purposes = "serverAuth" },
      NULL,
      "may not sign" },
    { "signs lists only", THE_CA, { .cn = "x", GOOD_NAMES, .usage = "cRLSign" }, NULL, "purpose" },
    { "unknown critical extension",
      THE_CA,
      { GOOD, .other = "1.2.3.4.5=critical,DER:05:00" },
      NULL,
      "critical extension" },
    { "SHA-1", THE_CA, { GOOD, .digest = "SHA1" }, NULL, "too weak" },
    { "RSA with SHA-256", THE_RSA_CA, { GOOD }, NULL, "" },
    { "RSA with SHA-1", THE_RSA_CA, { GOOD, .digest = "SHA1" }, NULL, "too weak" },
    { "MD5", THE_RSA_CA, { GOOD, .digest = "MD5" }, NULL, "too weak" },
    { "SHA-224", THE_CA, { GOOD, .digest = "SHA224" }, NULL, "signed with" },
    { "RSA 1024", THE_CA, { GOOD, .key = "RSA:1024" }, NULL, "too weak" },
    { "P-192", THE_CA, { GOOD, .key = "P-192" }, NULL, "too weak" },
    { "P-224", THE_CA, { GOOD, .key = "P-224" }, NULL, "curve" },
    { "curve of a currency", THE_CA, { GOOD, .key = "secp256k1" }, NULL, "curve" },
    { "Ed25519", THE_CA, { GOOD, .key = "ED25519" }, NULL, "neither RSA nor ECDSA" },
    { "signed by itself", NOBODY, { GOOD }, NULL, "self-signed" },
    { "unknown root", THE_ROGUE, { GOOD }, NULL, "unable to get local issuer" },
};

static void judges_leaves(void **state)
{
    STACK_OF(X509) *sent = sk_X509_new_null();
    (void)state;

    sk_X509_push(sent, made_by[THE_CA].certificate);
    sk_X509_push(sent, made_by[THE_RSA_CA].certificate);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe recipe = rows[i].recipe;
        struct made leaf;
        const char *got;

        if (rows[i].issuer != NOBODY)
            recipe.issuer = &made_by[rows[i].issuer];
        leaf = make_certificate(&recipe);
        got = judge(roots, leaf.certificate, sent, rows[i].host ? rows[i].host : HOST, NULL);
        if (rows[i].want[0] ? !strstr(got, rows[i].want) : got[0] != '\0')
            fail_msg("%s: \"%s\"", rows[i].name, got);
        free_made(&leaf);
    }
    sk_X509_free(sent);
}

/* Of good certificates for these names. */
static const struct {
    const char *name, *names, *host;
    const char *want; // a part of the reason; "": good
} names[] = {
    { "one wildcard", "DNS:*.test.example", HOST, "" },
    { "upper case", "DNS:A.Test.EXAMPLE", HOST, "" },
    { "A-label", "DNS:xn--bcher-kva.example", "xn--bcher-kva.example", "" },
    { "*", "DNS:*", "localhost", "ostname" },
    { "*.example", "DNS:*.example", "b.example", "ostname" },
    { "*.co.uk", "DNS:*.co.uk", "shop.co.uk", "not for" },
    { "*.github.io is its owner's", "DNS:*.github.io", "me.github.io", "" },
    { "part of a label", "DNS:a*.test.example", "abc.test.example", "ostname" },
    { "two labels for one wildcard", "DNS:*.test.example", "a.b.test.example", "ostname" },
    { "wildcard in the middle", "DNS:a.*.example", HOST, "ostname" },
    { "wildcard for the domain itself", "DNS:*.test.example", "test.example", "ostname" },
    { "address as a name", "DNS:127.0.0.1", "127.0.0.1", "IP address" },
    { "address", "IP:127.0.0.1", "127.0.0.1", "" },
    { "IPv6 address", "IP:::1", "[::1]", "" },
};

static void judges_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct made leaf = make_certificate(&(struct recipe){
            .cn = "x", .names = names[i].names, LEAF_USAGE, .issuer = &made_by[THE_CA] });
        STACK_OF(X509) *sent = sk_X509_new_null();
        const char *got;

        sk_X509_push(sent, made_by[THE_CA].certificate);
        got = judge(roots, leaf.certificate, sent, names[i].host, NULL);
        if (names[i].want[0] ? !strstr(got, names[i].want) : got[0] != '\0')
            fail_msg("%s: \"%s\"", names[i].name, got);
        sk_X509_free(sent);
        free_made(&leaf);
    }
}

static const struct {
    const char *name;
    struct recipe between[2]; // below the root, in order; the leaf comes below the last with a cn
    const char *want;
} chains[] = {
    { "no basic constraints, may sign",
      { { .cn = "i", .usage = "critical,keyCertSign" } },
      "invalid CA" },
    { "no extensions at all", { { .cn = "i" } }, "invalid CA" },
    { "not an authority",
      { { .cn = "i", .basic = "critical,CA:FALSE", .usage = "critical,digitalSignature" } },
      "invalid CA" },
    { "may not sign",
      { { .cn = "i", .basic = "critical,CA:TRUE", .usage = "critical,cRLSign" } },
      "invalid CA" },
    { "expired",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .from_days = -9,
          .until_days = -1 } },
      "expired" },
    { "path too long",
      { { .cn = "i", .basic = "critical,CA:TRUE,pathlen:0", .usage = "critical,keyCertSign" },
        { .cn = "j", .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign" } },
      "path length" },
    { "for clients",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .purposes = "clientAuth" } },
      "purpose" },
    { "constrained to others",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .constraints = "critical,permitted;DNS:other.example" } },
      "permitted subtree" },
    { "constrained to us",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .constraints = "critical,permitted;DNS:test.example" } },
      "" },
    { "excluded",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .constraints = "critical,excluded;DNS:test.example" } },
      "excluded subtree" },
    { "SHA-1",
      { { .cn = "i",
          .basic = "critical,CA:TRUE",
          .usage = "critical,keyCertSign",
          .digest = "SHA1" } },
      "too weak" },
    { "two",
      { { .cn = "i", .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign" },
        { .cn = "j", .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign" } },
      "" },
};

static void judges_chains(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        STACK_OF(X509) *sent = sk_X509_new_null();
        struct made made[3] = { { 0 } };
        struct recipe recipe;
        const struct made *issuer = &made_by[THE_ROOT];
        const char *got, *want = chains[i].want;

        for (int k = 0; k < 2 && chains[i].between[k].cn; k++) {
            recipe = chains[i].between[k];
            recipe.issuer = issuer;
            made[k] = make_certificate(&recipe);
            sk_X509_push(sent, made[k].certificate);
            issuer = &made[k];
        }
        recipe = (struct recipe){ GOOD, .issuer = issuer };
        made[2] = make_certificate(&recipe);
        got = judge(roots, made[2].certificate, sent, HOST, NULL);
        if (want[0] ? !strstr(got, want) : got[0] != '\0')
            fail_msg("%s: \"%s\"", chains[i].name, got);
        for (int k = 0; k < 3; k++)
            free_made(&made[k]);
        sk_X509_free(sent);
    }
}

/* `count` intermediates between root and leaf. */
static const char *judge_depth(int count)
{
    STACK_OF(X509) *sent = sk_X509_new_null();
    struct made *made = calloc((size_t)count + 1, sizeof *made);
    const char *got;

    for (int i = 0; i <= count; i++) {
        struct recipe ca = ROOT_RECIPE("between"), leaf = { GOOD };
        char name[32];

        snprintf(name, sizeof name, "between %d", i);
        ca.cn = name;
        (i < count ? &ca : &leaf)->issuer = i ? &made[i - 1] : &made_by[THE_ROOT];
        made[i] = make_certificate(i < count ? &ca : &leaf);
        sk_X509_push(sent, made[i].certificate);
    }
    got = judge(roots, made[count].certificate, sent, HOST, NULL);
    for (int i = 0; i <= count; i++)
        free_made(&made[i]);
    free(made);
    sk_X509_free(sent);
    return got;
}

static void a_chain_ends_at_its_limit(void **state)
{
    (void)state;
    assert_string_equal(judge_depth(VERIFY_INTERMEDIATES), "");
    assert_non_null(strstr(judge_depth(VERIFY_INTERMEDIATES + 1), "chain too long"));
    assert_string_not_equal(judge_depth(100), "");
}

static void a_cross_signed_chain_needs_no_expired_root(void **state)
{
    struct made old = make_certificate(&(struct recipe){ .cn = "old root",
                                                         .from_days = -9,
                                                         .until_days = -1,
                                                         .basic = "critical,CA:TRUE",
                                                         .usage = "critical,keyCertSign" });
    struct made crossed = make_certificate(&(struct recipe){ .cn = "test root",
                                                             .issuer = &old,
                                                             .basic = "critical,CA:TRUE",
                                                             .usage = "critical,keyCertSign",
                                                             .old_key = made_by[THE_ROOT].key });
    struct made leaf = make_certificate(&(struct recipe){ GOOD, .issuer = &made_by[THE_CA] });
    struct verify_roots *both = roots_of(old.certificate, roots);
    STACK_OF(X509) *sent = sk_X509_new_null();
    (void)state;

    sk_X509_push(sent, made_by[THE_CA].certificate);
    sk_X509_push(sent, crossed.certificate);
    sk_X509_push(sent, old.certificate);
    assert_string_equal(judge(both, leaf.certificate, sent, HOST, NULL), "");
    // A loop of two that sign each other ends too.
    sk_X509_push(sent, leaf.certificate);
    assert_string_equal(judge(both, leaf.certificate, sent, HOST, NULL), "");
    sk_X509_free(sent);
    free_made(&old);
    free_made(&crossed);
    free_made(&leaf);
    verify_roots_unref(&both);
}

/* ---- staples ---- */

enum signer { BY_ISSUER, BY_DELEGATE, BY_STRANGER };

static const struct {
    const char *name;
    bool must;
    int status;          // V_OCSP_CERTSTATUS_..., -1: no staple, -2: junk, -3: "try later"
    int from_s, until_s; // until 0: not said
    enum signer signer;
    const EVP_MD *(*digest)(void);
    const char *want;
} staples[] = {
    { "none", false, -1, 0, 0, BY_ISSUER, NULL, "" },
    { "none, demanded", true, -1, 0, 0, BY_ISSUER, NULL, "none came" },
    { "good", false, V_OCSP_CERTSTATUS_GOOD, -60, 3600, BY_ISSUER, EVP_sha1, "" },
    { "good, demanded", true, V_OCSP_CERTSTATUS_GOOD, -60, 3600, BY_ISSUER, EVP_sha1, "" },
    { "good by SHA-256", true, V_OCSP_CERTSTATUS_GOOD, -60, 3600, BY_ISSUER, EVP_sha256, "" },
    { "good by a delegate", true, V_OCSP_CERTSTATUS_GOOD, -60, 3600, BY_DELEGATE, EVP_sha1, "" },
    { "no next update", true, V_OCSP_CERTSTATUS_GOOD, -60, 0, BY_ISSUER, EVP_sha1, "" },
    { "no next update, old", true, V_OCSP_CERTSTATUS_GOOD, -11 * 86400, 0, BY_ISSUER, EVP_sha1,
      "not usable" },
    { "revoked", false, V_OCSP_CERTSTATUS_REVOKED, -60, 3600, BY_ISSUER, EVP_sha1, "revoked" },
    { "revoked, by a delegate", false, V_OCSP_CERTSTATUS_REVOKED, -60, 3600, BY_DELEGATE, EVP_sha1,
      "revoked" },
    { "unknown", false, V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600, BY_ISSUER, EVP_sha1, "unknown" },
    { "expired", false, V_OCSP_CERTSTATUS_GOOD, -7200, -3600, BY_ISSUER, EVP_sha1, "" },
    { "expired, demanded", true, V_OCSP_CERTSTATUS_GOOD, -7200, -3600, BY_ISSUER, EVP_sha1,
      "not usable" },
    { "from the future, demanded", true, V_OCSP_CERTSTATUS_GOOD, 3600, 7200, BY_ISSUER, EVP_sha1,
      "not usable" },
    { "by a stranger, demanded", true, V_OCSP_CERTSTATUS_GOOD, -60, 3600, BY_STRANGER, EVP_sha1,
      "not usable" },
    { "revoked by a stranger", false, V_OCSP_CERTSTATUS_REVOKED, -60, 3600, BY_STRANGER, EVP_sha1,
      "" },
    { "junk", false, -2, 0, 0, BY_ISSUER, NULL, "" },
    { "junk, demanded", true, -2, 0, 0, BY_ISSUER, NULL, "not usable" },
    { "try later, demanded", true, -3, 0, 0, BY_ISSUER, NULL, "not usable" },
};

static struct span make_staple(size_t row, X509 *leaf, const struct made *delegate,
                               unsigned char *to)
{
    const struct made *signer = staples[row].signer == BY_ISSUER     ? &made_by[THE_CA]
                                : staples[row].signer == BY_DELEGATE ? delegate
                                                                     : &made_by[THE_ROGUE];
    OCSP_BASICRESP *basic = NULL;
    OCSP_RESPONSE *response;
    unsigned char *at = to;
    int size;

    if (staples[row].status == -1)
        return SPAN_NONE;
    if (staples[row].status == -2)
        return SPAN("\x30\x03\x0a\x01");
    if (staples[row].status >= 0) {
        OCSP_CERTID *id = OCSP_cert_to_id(staples[row].digest(), leaf, made_by[THE_CA].certificate);
        ASN1_TIME *from = X509_gmtime_adj(NULL, staples[row].from_s);
        ASN1_TIME *until =
            staples[row].until_s ? X509_gmtime_adj(NULL, staples[row].until_s) : NULL;
        ASN1_TIME *revoked = X509_gmtime_adj(NULL, -3600);

        ASN1_TIME_to_generalizedtime(from, &from);
        basic = OCSP_BASICRESP_new();
        OCSP_basic_add1_status(basic, id, staples[row].status, OCSP_REVOKED_STATUS_KEYCOMPROMISE,
                               revoked, from, until);
        OCSP_basic_sign(basic, signer->certificate, signer->key, EVP_sha256(), NULL, 0);
        OCSP_CERTID_free(id);
        ASN1_TIME_free(from);
        ASN1_TIME_free(until);
        ASN1_TIME_free(revoked);
    }
    response = OCSP_response_create(
        basic ? OCSP_RESPONSE_STATUS_SUCCESSFUL : OCSP_RESPONSE_STATUS_TRYLATER, basic);
    size = i2d_OCSP_RESPONSE(response, &at);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    return span_of((char *)to, (size_t)size);
}

static void honours_staples(void **state)
{
    struct made delegate = make_certificate(&(struct recipe){ .cn = "responder",
                                                              .issuer = &made_by[THE_CA],
                                                              .usage = "digitalSignature",
                                                              .purposes = "OCSPSigning" });
    (void)state;

    for (size_t i = 0; i < sizeof staples / sizeof *staples; i++) {
        struct made leaf = make_certificate(
            &(struct recipe){ GOOD, .issuer = &made_by[THE_CA],
                              .feature = staples[i].must ? "status_request" : NULL });
        STACK_OF(X509) *chain = sk_X509_new_null();
        unsigned char der[8192];
        struct verify verify;
        struct error error = { 0 };
        bool must = false;

        sk_X509_push(chain, leaf.certificate);
        sk_X509_push(chain, made_by[THE_CA].certificate);
        sk_X509_push(chain, made_by[THE_ROOT].certificate);
        assert_string_equal(judge(roots, leaf.certificate, chain, HOST, &must), "");
        assert_int_equal(must, staples[i].must);
        verify_init(&verify, roots, SPAN(HOST), NULL);
        verify.must_staple = must;
        verify_staple(&verify, chain, make_staple(i, leaf.certificate, &delegate, der), &error);
        if (staples[i].want[0] ? !strstr(error.text, staples[i].want) : error.text[0] != '\0')
            fail_msg("%s: \"%s\"", staples[i].name, error.text);
        verify_done(&verify);
        sk_X509_free(chain);
        free_made(&leaf);
    }
    free_made(&delegate);
}

/* ---- revocation lists ---- */

static void honours_revocation_lists(void **state)
{
    struct made good = make_certificate(&(struct recipe){ GOOD, .issuer = &made_by[THE_CA] });
    struct made bad = make_certificate(&(struct recipe){ GOOD, .issuer = &made_by[THE_CA] });
    STACK_OF(X509) *sent = sk_X509_new_null();
    (void)state;

    sk_X509_push(sent, made_by[THE_CA].certificate);
    for (int old = 0; old < 2; old++) {
        X509_CRL *list = X509_CRL_new();
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_TIME *from = X509_gmtime_adj(NULL, -7200);
        ASN1_TIME *until = X509_gmtime_adj(NULL, old ? -3600 : 3600);
        BIO *bio = BIO_new(BIO_s_mem());
        struct verify_roots *set = NULL, *above;
        char *at;
        long size;

        X509_CRL_set_version(list, 1);
        X509_CRL_set_issuer_name(list, X509_get_subject_name(made_by[THE_CA].certificate));
        X509_CRL_set1_lastUpdate(list, from);
        X509_CRL_set1_nextUpdate(list, until);
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(bad.certificate));
        X509_REVOKED_set_revocationDate(entry, from);
        X509_CRL_add0_revoked(list, entry);
        X509_CRL_sign(list, made_by[THE_CA].key, EVP_sha256());
        PEM_write_bio_X509_CRL(bio, list);
        size = BIO_get_mem_data(bio, &at);
        assert_int_equal(verify_roots_new(&set, roots, span_of(at, (size_t)size), NULL), 0);
        assert_string_equal(judge(set, good.certificate, sent, HOST, NULL), "");
        assert_non_null(strstr(judge(set, bad.certificate, sent, HOST, NULL), "revoked"));
        assert_true(verify_roots_mark(set) != verify_roots_mark(roots));
        above = roots_of(made_by[THE_ROGUE].certificate, set);
        assert_non_null(strstr(judge(above, bad.certificate, sent, HOST, NULL), "revoked"));
        verify_roots_unref(&above);
        verify_roots_unref(&set);
        BIO_free(bio);
        X509_CRL_free(list);
        ASN1_TIME_free(from);
        ASN1_TIME_free(until);
    }
    sk_X509_free(sent);
    free_made(&good);
    free_made(&bad);
}

/* ---- groups ---- */

static EVP_PKEY *group_of(const BIGNUM *prime)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    EVP_PKEY *key = NULL;
    BIGNUM *two = BN_new(), *four = BN_new();
    OSSL_PARAM *parameters;

    BN_set_word(two, 2);
    BN_set_word(four, 4);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_P, prime);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_G, two);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PUB_KEY, four);
    parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_fromdata_init(context);
    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    assert_non_null(key);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(two);
    BN_free(four);
    return key;
}

static const char *judge_group(const BIGNUM *prime)
{
    static struct error error;
    EVP_PKEY *key = group_of(prime);

    error.text[0] = '\0';
    verify_group(key, &error);
    EVP_PKEY_free(key);
    return error.text;
}

static void takes_only_safe_groups(void **state)
{
    /* A safe prime of 2048 bits that no standard names. */
    static const char own[] = "F3AFF4420C41E6A0FE79D0E9AA2FC1A3E4FD4C5E34A152FF4C4C6373624AC1AF"
                              "DBBD9C3B162CB6DA7A99269A01DFD450586E2EB3BD439159A85061CDEAC6B5DA"
                              "98865C50FF1692DAC4E242B8B213DE328958F9847B66D8D2695158850007FE65"
                              "93E2B675B53B7EE2CAC4AEC68F761D58D8C0B7A140D369EA941DC5B79AE3F459"
                              "4489B1E884808FDB26215E01F68C35C0B35E23C3E857657302A2FA5E090A3D74"
                              "30CF9607ACB05C3AF41B04408FBB2F1084A9D7C615CBBC390227B473BF392F80"
                              "1F4B147DCFF40B9DEC740341573EC26472E3766212C56A668BD35AD3BCF89947"
                              "B10A8807D0E674D68B78D02FE85617D53985B82A0F35815B0EA4FBFEBFEDBA43";
    BIGNUM *prime = BN_get_rfc3526_prime_2048(NULL), *other = NULL;
    EVP_PKEY *curve = make_key(NULL);
    (void)state;

    assert_int_equal(verify_group(curve, NULL), ERROR_NONE);
    EVP_PKEY_free(curve);
    assert_string_equal(judge_group(prime), "");
    BN_add_word(prime, 2); // not prime
    assert_non_null(strstr(judge_group(prime), "safe prime"));
    BN_hex2bn(&other, own);
    assert_string_equal(judge_group(other), "");
    BN_get_rfc3526_prime_4096(prime);
    assert_string_equal(judge_group(prime), "");
    BN_add_word(prime, 2);
    assert_non_null(strstr(judge_group(prime), "origin's own"));
    BN_get_rfc3526_prime_1536(prime);
    assert_non_null(strstr(judge_group(prime), "1536 bits"));
    // A prime with small subgroups: p = 2 * 3 * q + 1 would do as well; most primes are not safe.
    BN_generate_prime_ex(prime, 2048, 0, NULL, NULL, NULL);
    assert_non_null(strstr(judge_group(prime), "safe prime"));
    BN_free(prime);
    BN_free(other);
}

/* ---- sets of roots ---- */

static void reads_sets_of_roots(void **state)
{
    struct buffer root = pem_of(made_by[THE_ROOT].certificate);
    struct buffer rogue = pem_of(made_by[THE_ROGUE].certificate);
    struct buffer text = { .limit_bytes = VERIFY_ROOTS_BYTES + 10 };
    struct verify_roots *set = NULL, *same = NULL;
    struct error error;
    (void)state;

    assert_int_equal(verify_roots_new(&set, NULL, SPAN_NONE, &error), ERROR_CONFIG);
    assert_int_equal(verify_roots_new(&set, NULL, SPAN("no PEM\n"), &error), ERROR_CONFIG);
    buffer_append(&text, SPAN("# a comment\n"));
    buffer_append(&text, buffer_span(&rogue));
    buffer_append(&text,
                  SPAN("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"));
    buffer_append(&text, buffer_span(&root));
    assert_int_equal(verify_roots_new(&set, NULL, buffer_span(&text), &error), ERROR_NONE);
    assert_int_equal(verify_roots_count(set), 2);
    assert_int_equal(verify_roots_new(&same, roots, buffer_span(&rogue), &error), ERROR_NONE);
    assert_int_equal(verify_roots_count(same), 2);
    assert_true(verify_roots_mark(set) == verify_roots_mark(same));
    assert_true(verify_roots_mark(set) != verify_roots_mark(roots));
    verify_roots_unref(&same);
    verify_roots_unref(&set);

    // A damaged block: passed over in a system's bundle, an error in a site's file.
    text.size = 0;
    buffer_append(&text, SPAN("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"));
    buffer_append(&text, buffer_span(&root));
    assert_int_equal(verify_roots_new(&set, NULL, buffer_span(&text), &error), ERROR_NONE);
    assert_int_equal(verify_roots_count(set), 1);
    assert_int_equal(verify_roots_new(&same, set, buffer_span(&text), &error), ERROR_CORRUPT);
    verify_roots_unref(&set);
    text.size = 0;
    buffer_append(&text, buffer_span(&root));
    buffer_append(&text, SPAN("-----BEGIN CERTIFICATE-----\nMAAA"));
    assert_int_equal(verify_roots_new(&same, roots, buffer_span(&text), &error), ERROR_CORRUPT);

    // The limits.
    buffer_reserve(&text, VERIFY_ROOTS_BYTES + 1 - text.size);
    memset(text.at + text.size, '\n', VERIFY_ROOTS_BYTES + 1 - text.size);
    text.size = root.size;
    assert_int_equal(verify_roots_new(&set, NULL, span_of(text.at, VERIFY_ROOTS_BYTES + 1), &error),
                     ERROR_LIMIT);
    text.size = 0;
    for (int i = 0; i <= VERIFY_ROOTS; i++) {
        if (i == VERIFY_ROOTS) {
            assert_int_equal(verify_roots_new(&set, NULL, buffer_span(&text), &error), ERROR_NONE);
            verify_roots_unref(&set);
        }
        buffer_append(&text, buffer_span(&root));
    }
    assert_int_equal(verify_roots_new(&set, NULL, buffer_span(&text), &error), ERROR_LIMIT);
    buffer_release(&text);
    buffer_release(&root);
    buffer_release(&rogue);
}

static void reads_the_systems_roots(void **state)
{
    struct buffer pem = { .limit_bytes = VERIFY_ROOTS_BYTES };
    struct verify_roots *set = NULL;
    struct error error;
    (void)state;

    if (verify_read_system_roots(&pem, &error)) {
        print_message("%s\n", error.text);
        skip();
    }
    assert_int_equal(verify_roots_new(&set, NULL, buffer_span(&pem), &error), ERROR_NONE);
    assert_true(verify_roots_count(set) > 20);
    verify_roots_unref(&set);
    buffer_release(&pem);
    setenv("SSL_CERT_FILE", "/nonexistent/roots.pem", 1);
    assert_int_equal(verify_read_system_roots(&pem, &error), ERROR_SYSTEM);
    unsetenv("SSL_CERT_FILE");
}

static void knows_published_keys(void **state)
{
    static const unsigned char superfish[32] = {
        0x4b, 0xb8, 0xf3, 0x5b, 0xa1, 0xe1, 0x26, 0xf8, 0xdd, 0xe1, 0xb0, 0xc4, 0x20, 0x62, 0xe5,
    };
    static const unsigned char none[32] = { 0x4b, 0xb8, 0xf3, 0x5b, 0xa1, 0xe1, 0x26, 0xf9 };
    (void)state;

    assert_true(verify_key_is_published(superfish));
    assert_false(verify_key_is_published(none));
}

static EVP_PKEY *rsa_key(unsigned bits, unsigned long exponent)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *modulus = BN_new(), *e = BN_new();
    OSSL_PARAM *parameters;
    EVP_PKEY *key = NULL;

    BN_set_word(e, exponent);
    BN_rand(modulus, (int)bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD); // whose factors nobody knows
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
    parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_fromdata_init(context);
    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    assert_non_null(key);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(modulus);
    BN_free(e);
    return key;
}

static void refuses_odd_rsa_keys(void **state)
{
    static const struct {
        unsigned bits;
        unsigned long exponent;
        const char *want;
    } keys[] = {
        { 2048, 3, "" },
        { 2048, 1, "exponent" },
        { 2048, 65536, "exponent" },
        { VERIFY_RSA_BITS, 65537, "" },
        { VERIFY_RSA_BITS + 1, 65537, "8193 bits" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        EVP_PKEY *key = rsa_key(keys[i].bits, keys[i].exponent);
        struct made leaf = make_certificate(
            &(struct recipe){ GOOD, .issuer = &made_by[THE_ROOT], .old_key = key });
        const char *got = judge(roots, leaf.certificate, NULL, HOST, NULL);

        if (keys[i].want[0] ? !strstr(got, keys[i].want) : got[0] != '\0')
            fail_msg("%u bits, exponent %lu: %s", keys[i].bits, keys[i].exponent, got);
        EVP_PKEY_free(key);
        free_made(&leaf);
    }
}

static void refuses_keys_that_anybody_has(void **state)
{
    static const char shipped[] = // with webpack-dev-server, its private half beside it
        "30820122300d06092a864886f70d01010105000382010f003082010a02820101"
        "00db1a8f45fca903877a481ec952cef31749d76f84ca7c63d33a3bb87ba8a359"
        "1a8d48e32ec827555088612bf0c9367db15e8dfa69ede1f43bb63de9d8296619"
        "334eb1959b6fd80cd590efec7b613f8719a24319660dd9cd942febd6bce68414"
        "dd209dd04a1557cbe4cb5975f56da4a648b4d711d226eb7cbd90cecb2b7ad3a6"
        "59c7b9ab10506ad702b58efd54d62ea6359aa8a7bd781c8762eb0f2303533007"
        "139ffaaacaee50fcf4e18b9e925c486227c6bd5361fd3ef0762d0a85a791920f"
        "be4ec873efd991435496a48dd6dae27311e74b7a51972199f9ff3686afa66846"
        "649a26a3e07bb2396c8b6f983ba359e32a93cb5ee19a4bccbae8e0301bc0d2ec"
        "b90203010001";
    unsigned char der[sizeof shipped / 2];
    const unsigned char *at = der;
    struct made leaf;
    EVP_PKEY *key;
    (void)state;

    for (size_t i = 0; i < sizeof der; i++) {
        char digits[3] = { shipped[2 * i], shipped[2 * i + 1], 0 };
        der[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    key = d2i_PUBKEY(NULL, &at, sizeof der);
    assert_non_null(key);
    leaf = make_certificate(&(struct recipe){ GOOD, .issuer = &made_by[THE_ROOT], .old_key = key });
    assert_non_null(strstr(judge(roots, leaf.certificate, NULL, HOST, NULL),
                           "the private key of webpack-dev-server is published"));
    EVP_PKEY_free(key);
    free_made(&leaf);
}

static void tells_the_chain(void **state)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct made odd = make_certificate(&(struct recipe){ .cn = "evil\nline \"x\"" });
    char text[200], small[20];
    (void)state;

    sk_X509_push(chain, made_by[THE_CA].certificate);
    sk_X509_push(chain, made_by[THE_ROOT].certificate);
    assert_string_equal(verify_chain_text(text, sizeof text, chain), "/CN=test CA < /CN=test root");
    assert_string_equal(verify_chain_text(small, sizeof small, chain), "/CN=test CA < /CN=t");
    sk_X509_push(chain, odd.certificate);
    verify_chain_text(text, sizeof text, chain);
    assert_null(strchr(text, '\n'));
    assert_null(strchr(text, '"'));
    sk_X509_free(chain);
    free_made(&odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_leaves),
        cmocka_unit_test(judges_names),
        cmocka_unit_test(judges_chains),
        cmocka_unit_test(a_chain_ends_at_its_limit),
        cmocka_unit_test(a_cross_signed_chain_needs_no_expired_root),
        cmocka_unit_test(honours_staples),
        cmocka_unit_test(honours_revocation_lists),
        cmocka_unit_test(takes_only_safe_groups),
        cmocka_unit_test(reads_sets_of_roots),
        cmocka_unit_test(reads_the_systems_roots),
        cmocka_unit_test(knows_published_keys),
        cmocka_unit_test(refuses_odd_rsa_keys),
        cmocka_unit_test(refuses_keys_that_anybody_has),
        cmocka_unit_test(tells_the_chain),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
