/* The authority: what it is made of, what it signs, how it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "certificates.h"
#include "trust/signer.h"
#include "trust/vault.h"
#include "trust/verify.h"

static time_t now;
static EVP_PKEY *worker;
static unsigned char point[SIGN_KEY_BYTES];

static int set_up(void **state)
{
    size_t size;
    (void)state;

    now = time(NULL);
    worker = make_key(NULL);
    return EVP_PKEY_get_octet_string_param(worker, "pub", point, sizeof point, &size) != 1;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(worker);
    return 0;
}

static struct authority *make(const char *list, const char *passphrase)
{
    struct authority_plan plan = { .label = SPAN("host.example"),
                                   .passphrase = passphrase,
                                   .now = now };
    struct constraints *constraints = NULL;
    struct authority *authority = NULL;
    struct error error;

    if (list && constraints_read(&constraints, span_text(list), &error))
        fail_msg("%s", error.text);
    plan.constraints = constraints;
    if (authority_make(&authority, &plan, &error))
        fail_msg("%s", error.text);
    constraints_free(&constraints);
    return authority;
}

static X509 *first_of(void (*write)(const struct authority *, struct buffer *),
                      const struct authority *authority, int index)
{
    struct buffer pem = { .limit_bytes = 1 << 20 };
    X509 *certificate = NULL;
    BIO *bio;

    write(authority, &pem);
    bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    for (int i = 0; i <= index; i++) {
        X509_free(certificate);
        certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    buffer_release(&pem);
    return certificate;
}

static struct sign_request request_for(const char *name)
{
    struct sign_request request = { .lifetime_s = SIGN_LIFETIME_S,
                                    .usages = SIGN_FOR_SERVERS,
                                    .name_count = 1 };

    memcpy(request.key, point, sizeof point);
    request.names[0] = (struct sign_name){ HOSTNAME_NAME, span_text(name) };
    return request;
}

static X509 *sign(struct authority *authority, const struct sign_request *request)
{
    struct buffer der = { .limit_bytes = SIGN_CERTIFICATE_BYTES };
    enum sign_outcome outcome = authority_sign(authority, request, now, &der);
    const unsigned char *at = (unsigned char *)der.at;
    X509 *leaf;

    if (outcome != SIGN_DONE)
        fail_msg("%s", sign_outcome_words(outcome));
    leaf = d2i_X509(NULL, &at, (long)der.size);
    assert_non_null(leaf);
    buffer_release(&der);
    return leaf;
}

static bool is_critical(X509 *certificate, int nid)
{
    int at = X509_get_ext_by_NID(certificate, nid, -1);

    assert_true(at >= 0);
    return X509_EXTENSION_get_critical(X509_get_ext(certificate, at));
}

static long lifetime_of(X509 *certificate)
{
    int days, seconds;

    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate),
                   X509_get0_notAfter(certificate));
    return days * 86400L + seconds;
}

static long since(const ASN1_TIME *time)
{
    int days, seconds;
    ASN1_TIME *then = ASN1_TIME_set(NULL, now);

    ASN1_TIME_diff(&days, &seconds, time, then);
    ASN1_TIME_free(then);
    return days * 86400L + seconds;
}

static void is_made_as_it_should_be(void **state)
{
    struct authority *authority = make("bank.example\ngov\n", NULL);
    X509 *root = first_of(authority_root_pem, authority, 0);
    X509 *issuer = first_of(authority_chain_pem, authority, 0);
    char name[AUTHORITY_NAME_BYTES];
    (void)state;

    assert_null(first_of(authority_chain_pem, authority, 1)); // the root is not sent
    for (int i = 0; i < 2; i++) {
        X509 *certificate = i ? issuer : root;
        BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);

        assert_int_equal(X509_get_version(certificate), X509_VERSION_3);
        assert_int_equal(X509_check_ca(certificate), 1);
        assert_true(is_critical(certificate, NID_basic_constraints));
        assert_true(is_critical(certificate, NID_key_usage));
        assert_int_equal(X509_get_key_usage(certificate), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
        assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)), EVP_PKEY_EC);
        assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)), 256);
        assert_true(BN_num_bits(serial) > 96 && BN_num_bits(serial) <= 128);
        assert_int_equal(lifetime_of(certificate), AUTHORITY_LIFETIME_DAYS * 86400L);
        assert_int_equal(since(X509_get0_notBefore(certificate)), 86400);
        BN_free(serial);
    }
    assert_int_equal(X509_get_pathlen(issuer), 0);
    assert_int_equal(X509_get_pathlen(root), -1);
    assert_true(is_critical(issuer, NID_name_constraints));
    assert_int_equal(X509_get_extended_key_usage(issuer), XKU_SSL_SERVER);
    assert_int_equal(X509_check_issued(root, issuer), X509_V_OK);
    assert_int_equal(X509_verify(issuer, X509_get0_pubkey(root)), 1);
    assert_true(strncmp(authority_name(authority, name), "dejunk root host.example ", 25) == 0);
    assert_false(authority_has_root_key(authority));
    assert_int_equal(constraints_count(authority_constraints(authority)), 2);
    X509_free(root);
    X509_free(issuer);
    authority_free(&authority);
}

static void two_are_never_the_same(void **state)
{
    struct authority *a = make(NULL, NULL), *b = make(NULL, NULL);
    unsigned char first[AUTHORITY_FINGERPRINT_BYTES], second[AUTHORITY_FINGERPRINT_BYTES];
    X509 *root_a = first_of(authority_root_pem, a, 0), *root_b = first_of(authority_root_pem, b, 0);
    (void)state;

    authority_fingerprint(a, first);
    authority_fingerprint(b, second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_true(X509_NAME_cmp(X509_get_subject_name(root_a), X509_get_subject_name(root_b)) != 0);
    X509_free(root_a);
    X509_free(root_b);
    authority_free(&a);
    authority_free(&b);
}

/* "" or why a device with our root refuses the leaf. */
static const char *verify_leaf(struct authority *authority, X509 *leaf, const char *host)
{
    static char text[500];
    struct buffer pem = { .limit_bytes = 1 << 20 };
    X509 *issuer = first_of(authority_chain_pem, authority, 0);
    STACK_OF(X509) *sent = sk_X509_new_null();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    struct verify_roots *roots = NULL;
    struct verify verify;

    authority_root_pem(authority, &pem);
    assert_int_equal(verify_roots_new(&roots, NULL, buffer_span(&pem), NULL), ERROR_NONE);
    sk_X509_push(sent, issuer);
    assert_int_equal(verify_init(&verify, roots, span_text(host), NULL), ERROR_NONE);
    X509_STORE_CTX_init(context, verify_store(&verify), leaf, sent);
    verify_prepare(&verify, X509_STORE_CTX_get0_param(context));
    snprintf(text, sizeof text, "%s", verify_chain(&verify, context) ? "" : verify.reason->text);
    X509_STORE_CTX_free(context);
    verify_done(&verify);
    verify_roots_unref(&roots);
    sk_X509_free(sent);
    X509_free(issuer);
    buffer_release(&pem);
    return text;
}

static void signs_leaves_that_browsers_take(void **state)
{
    struct authority *authority = make("bank.example\n", NULL);
    struct sign_request request = request_for("www.example.org");
    X509 *leaf, *again;
    GENERAL_NAMES *names;
    (void)state;

    request.names[1] = (struct sign_name){ HOSTNAME_NAME, SPAN("*.example.org") };
    request.names[2] = (struct sign_name){ HOSTNAME_ADDRESS, SPAN("\x7f\0\0\1") };
    request.name_count = 3;
    leaf = sign(authority, &request);
    assert_string_equal(verify_leaf(authority, leaf, "www.example.org"), "");
    assert_string_equal(verify_leaf(authority, leaf, "other.example.org"), "");
    assert_string_equal(verify_leaf(authority, leaf, "127.0.0.1"), "");
    assert_string_not_equal(verify_leaf(authority, leaf, "example.com"), "");
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_true(is_critical(leaf, NID_basic_constraints) && is_critical(leaf, NID_key_usage));
    assert_false(is_critical(leaf, NID_subject_alt_name));
    assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
    assert_int_equal(lifetime_of(leaf) + 1, SIGN_LIFETIME_S); // both ends are within
    assert_int_equal(since(X509_get0_notBefore(leaf)), 86400);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf), worker), 1);
    names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 3);
    GENERAL_NAMES_free(names);
    again = sign(authority, &request);
    assert_true(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf), X509_get0_serialNumber(again)) != 0);
    X509_free(again);
    X509_free(leaf);
    authority_free(&authority);
}

static void a_long_name_needs_no_common_name(void **state)
{
    struct authority *authority = make(NULL, NULL);
    static const char fits[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";
    static const char longer[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";
    struct sign_request request = request_for(fits);
    X509 *leaf = sign(authority, &request);
    (void)state;

    assert_int_equal(strlen(fits), 64);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(leaf)), 1);
    X509_free(leaf);
    request = request_for(longer);
    leaf = sign(authority, &request);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(leaf)), 0);
    assert_true(is_critical(leaf, NID_subject_alt_name));
    assert_string_equal(verify_leaf(authority, leaf, longer), "");
    X509_free(leaf);
    request.names[0] = (struct sign_name){ HOSTNAME_ADDRESS, SPAN("\x7f\0\0\1") };
    leaf = sign(authority, &request);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(leaf)), 0);
    assert_string_equal(verify_leaf(authority, leaf, "127.0.0.1"), "");
    X509_free(leaf);
    authority_free(&authority);
}

static void refuses_to_sign(void **state)
{
    struct authority *authority = make("bank.example\n", NULL);
    struct buffer der = { .limit_bytes = SIGN_CERTIFICATE_BYTES };
    struct sign_request request = request_for("www.bank.example");
    (void)state;

    assert_int_equal(authority_sign(authority, &request, now, &der), SIGN_NAME);
    request = request_for("a.example");
    request.is_authority = true;
    assert_int_equal(authority_sign(authority, &request, now, &der), SIGN_IS_AUTHORITY);
    request = request_for("a.example");
    request.key[40] ^= 1; // not on the curve
    assert_int_equal(authority_sign(authority, &request, now, &der), SIGN_KEY);
    request = request_for("a.example");
    assert_int_equal(authority_sign(authority, &request, now + 11L * 365 * 86400, &der),
                     SIGN_FAILED);
    assert_int_equal(authority_sign(authority, &request, now - 2 * 86400, &der), SIGN_FAILED);
    assert_int_equal(der.size, 0);
    authority_free(&authority);
}

/* Even with the key in hand, nobody who checks takes an excluded name. */
static void excluded_names_are_worth_nothing(void **state)
{
    struct authority *authority = make("bank.example\n", NULL);
    struct buffer text = { .limit_bytes = 1 << 20 };
    X509 *issuer = first_of(authority_chain_pem, authority, 0);
    struct made stolen = { .certificate = issuer }, leaf, below;
    BIO *bio;
    (void)state;

    authority_write(authority, &text);
    bio = BIO_new_mem_buf(text.at, (int)text.size);
    stolen.key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_non_null(stolen.key);
    leaf = make_certificate(&(struct recipe){
        .cn = "x", .issuer = &stolen, LEAF_USAGE, .names = "DNS:www.bank.example" });
    assert_non_null(
        strstr(verify_leaf(authority, leaf.certificate, "www.bank.example"), "excluded subtree"));
    free_made(&leaf);
    // Nor another authority below it, nor a certificate for clients.
    below = make_certificate(&(struct recipe){ .cn = "below",
                                               .issuer = &stolen,
                                               .basic = "critical,CA:TRUE",
                                               .usage = "critical,keyCertSign" });
    leaf = make_certificate(
        &(struct recipe){ .cn = "x", .issuer = &below, LEAF_USAGE, .names = "DNS:a.example" });
    assert_string_not_equal(verify_leaf(authority, leaf.certificate, "a.example"), "");
    free_made(&leaf);
    free_made(&below);
    BIO_free(bio);
    buffer_release(&text);
    X509_free(issuer);
    EVP_PKEY_free(stolen.key);
    authority_free(&authority);
}

static void the_roots_key_is_gone_unless_kept(void **state)
{
    struct authority *plain = make(NULL, NULL), *kept = make(NULL, "correct horse"), *next = NULL;
    struct authority_plan plan = { .label = SPAN("x"), .now = now };
    struct buffer text = { .limit_bytes = 1 << 20 };
    unsigned char before[AUTHORITY_FINGERPRINT_BYTES], after[AUTHORITY_FINGERPRINT_BYTES];
    struct error error;
    (void)state;

    authority_write(plain, &text);
    assert_null(memmem(text.at, text.size, "ENCRYPTED", 9));
    text.size = 0;
    authority_write(kept, &text);
    assert_non_null(memmem(text.at, text.size, "BEGIN ENCRYPTED PRIVATE KEY", 27));
    assert_true(authority_has_root_key(kept));
    assert_int_equal(authority_renew(&next, plain, &plan, &error), ERROR_CONFIG);
    plan.passphrase = "wrong horse";
    assert_int_equal(authority_renew(&next, kept, &plan, &error), ERROR_FORBIDDEN);
    plan.passphrase = "correct horse";
    assert_int_equal(authority_renew(&next, kept, &plan, &error), ERROR_NONE);
    authority_fingerprint(kept, before);
    authority_fingerprint(next, after);
    assert_memory_equal(before, after, sizeof before);
    {
        struct sign_request request = request_for("a.example");
        X509 *leaf = sign(next, &request);

        assert_string_equal(verify_leaf(next, leaf, "a.example"), "");
        assert_string_not_equal(verify_leaf(kept, leaf, "a.example"), ""); // another signer's
        X509_free(leaf);
    }
    authority_free(&next);
    plan.passphrase = "short";
    assert_int_equal(authority_make(&next, &plan, &error), ERROR_CONFIG);
    buffer_release(&text);
    authority_free(&plain);
    authority_free(&kept);
}

static void takes_a_companys(void **state)
{
    static const struct {
        const char *name;
        struct recipe recipe;
        const char *other_key; // not the certificate's
        enum error_kind want;
    } rows[] = {
        { "root",
          { .cn = "company", .basic = "critical,CA:TRUE", .usage = "keyCertSign" },
          NULL,
          ERROR_NONE },
        { "no key usage", { .cn = "company", .basic = "critical,CA:TRUE" }, NULL, ERROR_NONE },
        { "RSA",
          { .cn = "company", .basic = "critical,CA:TRUE", .key = "RSA:2048" },
          NULL,
          ERROR_NONE },
        { "P-384",
          { .cn = "company", .basic = "critical,CA:TRUE", .key = "P-384" },
          NULL,
          ERROR_NONE },
        { "a leaf", { .cn = "company", .names = "DNS:a.example" }, NULL, ERROR_CONFIG },
        { "signs lists only",
          { .cn = "company", .basic = "critical,CA:TRUE", .usage = "cRLSign" },
          NULL,
          ERROR_CONFIG },
        { "for clients",
          { .cn = "company", .basic = "critical,CA:TRUE", .purposes = "clientAuth" },
          NULL,
          ERROR_CONFIG },
        { "expired",
          { .cn = "company", .basic = "critical,CA:TRUE", .from_days = -9, .until_days = -1 },
          NULL,
          ERROR_CONFIG },
        { "weak",
          { .cn = "company", .basic = "critical,CA:TRUE", .key = "RSA:1024" },
          NULL,
          ERROR_CONFIG },
        { "Ed25519",
          { .cn = "company", .basic = "critical,CA:TRUE", .key = "ED25519" },
          NULL,
          ERROR_CONFIG },
        { "another's key",
          { .cn = "company", .basic = "critical,CA:TRUE" },
          "P-256",
          ERROR_CONFIG },
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made company = make_certificate(&rows[i].recipe);
        struct buffer pem = pem_of(company.certificate);
        BIO *bio = BIO_new(BIO_s_mem());
        EVP_PKEY *key = rows[i].other_key ? make_key(rows[i].other_key) : company.key;
        struct authority *authority = NULL;
        struct error error = { 0 };
        char *at;
        long size;
        enum error_kind kind;

        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        size = BIO_get_mem_data(bio, &at);
        kind = authority_own(&authority, buffer_span(&pem), span_of(at, (size_t)size), now, &error);
        if (kind != rows[i].want)
            fail_msg("%s: %s", rows[i].name, error.text);
        if (!kind) {
            struct sign_request request = request_for("a.example");
            X509 *leaf = sign(authority, &request);

            assert_string_equal(verify_leaf(authority, leaf, "a.example"), "");
            assert_true(authority_is_own(authority));
            assert_int_equal(vault_save(authority, "/nonexistent/ca", &error), ERROR_CONFIG);
            X509_free(leaf);
            authority_free(&authority);
        }
        if (rows[i].other_key)
            EVP_PKEY_free(key);
        BIO_free(bio);
        buffer_release(&pem);
        free_made(&company);
    }
}

/* ---- the vault ---- */

static mode_t mode_of(const char *directory, const char *file)
{
    char path[300];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", directory, file);
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void is_kept_in_a_closed_place(void **state)
{
    struct authority *authority = make("bank.example\n", "correct horse"), *loaded = NULL;
    unsigned char before[AUTHORITY_FINGERPRINT_BYTES], after[AUTHORITY_FINGERPRINT_BYTES];
    struct sign_request request = request_for("a.example");
    char folder[] = "/tmp/dejunk-test-XXXXXX", directory[300], path[400], command[400];
    struct error error;
    X509 *leaf;
    (void)state;

    assert_non_null(mkdtemp(folder));
    snprintf(directory, sizeof directory, "%s/ca", folder);
    snprintf(path, sizeof path, "%s/%s", directory, VAULT_FILE);
    assert_false(vault_exists(directory));
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_CONFIG);
    umask(0);
    assert_int_equal(vault_save(authority, directory, &error), ERROR_NONE);
    umask(022);
    assert_true(vault_exists(directory));
    assert_int_equal(mode_of(folder, "ca"), 0700);
    assert_int_equal(mode_of(directory, VAULT_FILE), 0600);
    assert_int_equal(mode_of(directory, VAULT_ROOT_FILE), 0644);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_NONE);
    authority_fingerprint(authority, before);
    authority_fingerprint(loaded, after);
    assert_memory_equal(before, after, sizeof before);
    assert_true(authority_has_root_key(loaded));
    assert_int_equal(constraints_count(authority_constraints(loaded)), 1);
    leaf = sign(loaded, &request);
    assert_string_equal(verify_leaf(authority, leaf, "a.example"), "");
    X509_free(leaf);
    authority_free(&loaded);

    // Again, and no file is left beside; the same root leaves nothing old.
    assert_int_equal(vault_save(authority, directory, &error), ERROR_NONE);
    snprintf(command, sizeof command, "test $(ls %s | wc -l) = 2", directory);
    assert_int_equal(system(command), 0);
    // Another root leaves the old one's certificate.
    authority_free(&authority);
    authority = make(NULL, NULL);
    assert_int_equal(vault_save(authority, directory, &error), ERROR_NONE);
    snprintf(command, sizeof command, "grep -L PRIVATE %s/old-%02x%02x%02x%02x.pem | grep -q .",
             directory, before[0], before[1], before[2], before[3]);
    assert_int_equal(system(command), 0);

    // What others may read is not taken, nor what is damaged, nor what is no file.
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_FORBIDDEN);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 900), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_CORRUPT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_CORRUPT);
    assert_int_equal(truncate(path, AUTHORITY_TEXT_BYTES), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_CORRUPT);
    assert_int_equal(truncate(path, AUTHORITY_TEXT_BYTES + 1), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_LIMIT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(VAULT_ROOT_FILE, path), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_SYSTEM);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(vault_load(&loaded, directory, &error), ERROR_CORRUPT);
    assert_int_equal(vault_save(authority, directory, &error), ERROR_SYSTEM);
    assert_int_equal(vault_save(authority, "/nonexistent/x/ca", &error), ERROR_SYSTEM);
    authority_free(&authority);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* ---- the signer ---- */

static void answers_packets(void **state)
{
    struct authority *authority = make(NULL, NULL);
    struct signer signer = { .authority = authority };
    struct sign_limit limit;
    struct sign_request request = request_for("a.example");
    struct sign_answer answer;
    char packet[SIGN_REQUEST_BYTES], reply[SIGN_ANSWER_BYTES];
    size_t size, reply_size;
    enum sign_outcome why;
    struct error error;
    (void)state;

    sign_limit_init(&limit, 1, 2, 0);
    request.number = 77;
    for (int i = 0; i < 4; i++) {
        size = sign_encode_request(packet, &request);
        assert_int_equal(signer_answer(&signer, &limit, span_of(packet, size), now, 0, reply,
                                       &reply_size, &why, &error),
                         ERROR_NONE);
        assert_int_equal(sign_decode_answer(&answer, span_of(reply, reply_size), &error), 0);
        assert_int_equal(answer.number, 77);
        assert_int_equal(answer.outcome, i < 2 ? SIGN_DONE : SIGN_RATE);
        assert_int_equal(why, answer.outcome);
    }
    request.is_authority = true;
    size = sign_encode_request(packet, &request);
    assert_int_equal(signer_answer(&signer, &limit, span_of(packet, size), now, 9000, reply,
                                   &reply_size, &why, &error),
                     ERROR_NONE);
    assert_int_equal(why, SIGN_IS_AUTHORITY);
    assert_int_equal(signer_answer(&signer, &limit, span_of(packet, size - 1), now, 9000, reply,
                                   &reply_size, &why, &error),
                     ERROR_SYNTAX);
    assert_int_equal(reply_size, 0);
    assert_int_equal(signer.counts.signed_leaves, 2);
    assert_int_equal(signer.counts.refused, 3);
    assert_int_equal(signer.counts.malformed, 1);
    authority_free(&authority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_made_as_it_should_be),
        cmocka_unit_test(two_are_never_the_same),
        cmocka_unit_test(signs_leaves_that_browsers_take),
        cmocka_unit_test(a_long_name_needs_no_common_name),
        cmocka_unit_test(refuses_to_sign),
        cmocka_unit_test(excluded_names_are_worth_nothing),
        cmocka_unit_test(the_roots_key_is_gone_unless_kept),
        cmocka_unit_test(takes_a_companys),
        cmocka_unit_test(is_kept_in_a_closed_place),
        cmocka_unit_test(answers_packets),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
