/* Names that an authority may not sign: what we say, and what OpenSSL says of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "certificates.h"
#include "trust/constraints.h"

static struct constraints *read_list(const char *list)
{
    struct constraints *constraints = NULL;
    struct error error;

    if (constraints_read(&constraints, span_text(list), &error))
        fail_msg("%s", error.text);
    return constraints;
}

static void reads_lists(void **state)
{
    static const struct {
        const char *name, *list;
        enum error_kind want;
        size_t count;
    } rows[] = {
        { "empty", "", ERROR_NONE, 0 },
        { "comments", "# banks\n\n  # more\n", ERROR_NONE, 0 },
        { "domains", "bank.example\nGOV\r\n  nhs.uk  # health\n", ERROR_NONE, 3 },
        { "no newline at the end", "a.example\nb.example", ERROR_NONE, 2 },
        { "twice", "a.example\nA.example\n", ERROR_NONE, 1 },
        { "international",
          "b\xc3\xbc"
          "cher.example\n",
          ERROR_NONE, 1 },
        { "wildcard", "*.bank.example\n", ERROR_SYNTAX, 0 },
        { "address", "10.0.0.1\n", ERROR_SYNTAX, 0 },
        { "two on a line", "a.example b.example\n", ERROR_SYNTAX, 0 },
        { "a URL", "https://a.example/\n", ERROR_SYNTAX, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct constraints *constraints = NULL;
        struct error error = { 0 };
        enum error_kind kind = constraints_read(&constraints, span_text(rows[i].list), &error);

        if (kind != rows[i].want || (!kind && constraints_count(constraints) != rows[i].count))
            fail_msg("%s: %s", rows[i].name, error.text);
        constraints_free(&constraints);
    }
}

static void lists_end_at_their_limits(void **state)
{
    char list[CONSTRAINTS * 80] = "";
    struct constraints *constraints = NULL;
    struct error error;
    int size = 0;
    (void)state;

    for (int i = 0; i < CONSTRAINTS; i++)
        size += snprintf(list + size, sizeof list - (size_t)size, "d%d.example\n", i);
    constraints = read_list(list);
    assert_int_equal(constraints_count(constraints), CONSTRAINTS);
    constraints_free(&constraints);
    snprintf(list + size, sizeof list - (size_t)size, "d1.example\n"); // one of them again
    constraints = read_list(list);
    constraints_free(&constraints);
    snprintf(list + size, sizeof list - (size_t)size, "more.example\n");
    assert_int_equal(constraints_read(&constraints, span_text(list), &error), ERROR_LIMIT);

    // 5 or 6 bytes of headers in all, 4 for each.
    size = 0;
    for (int i = 0; i < 40; i++)
        size += snprintf(list + size, sizeof list - (size_t)size,
                         "%03d-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example%s\n", i, i == 39 ? "" : "");
    constraints = read_list(list);
    constraints_free(&constraints);
    for (int i = 40; i < 44; i++)
        size += snprintf(list + size, sizeof list - (size_t)size,
                         "%03d-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example\n", i);
    assert_int_equal(constraints_read(&constraints, span_text(list), &error), ERROR_LIMIT);
    assert_non_null(strstr(error.text, "2048"));
}

static const char list[] = "bank.example\nhealth.gov.test\nmil\n";

static const struct {
    const char *name;
    bool want;
    bool openssl_differs; // a wildcard that covers an excluded host is not inside its subtree
} names[] = {
    { "a.example", true, false },
    { "bank.example", false, false },
    { "www.bank.example", false, false },
    { "a.b.bank.example", false, false },
    { "mybank.example", true, false },
    { "bank.example.org", true, false },
    { "BANK.example", false, false },
    { "*.bank.example", false, false },
    { "*.www.bank.example", false, false },
    { "*.example", false, true },
    { "*.gov.test", false, true },
    { "gov.test", true, false },
    { "*.test", true, false },
    { "mil", false, false },
    { "x.mil", false, false },
    { "milk", true, false },
};

static void excludes_what_is_below(void **state)
{
    struct constraints *constraints = read_list(list), *again = NULL;
    struct made root = make_certificate(&(struct recipe)ROOT_RECIPE("root"));
    X509 *issuer = X509_new();
    NAME_CONSTRAINTS *theirs;
    (void)state;

    constraints_put(constraints, issuer);
    assert_int_equal(constraints_of(&again, issuer, NULL), ERROR_NONE);
    assert_int_equal(constraints_count(again), 3);
    assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(issuer, 0)), 1);
    theirs = X509_get_ext_d2i(issuer, NID_name_constraints, NULL, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[100];
        struct made leaf;
        bool good;

        snprintf(text, sizeof text, "DNS:%s", names[i].name);
        leaf = make_certificate(&(struct recipe){ .names = text });
        X509_check_purpose(leaf.certificate, -1, 0);
        good = NAME_CONSTRAINTS_check(leaf.certificate, theirs) == X509_V_OK;
        if (constraints_allow_name(constraints, span_text(names[i].name)) != names[i].want ||
            constraints_allow_name(again, span_text(names[i].name)) != names[i].want ||
            good != (names[i].want || names[i].openssl_differs))
            fail_msg("%s: openssl says %d", names[i].name, good);
        free_made(&leaf);
    }
    assert_true(constraints_allow_address(constraints, SPAN("\x7f\0\0\1")));
    assert_true(constraints_allow_name(NULL, SPAN("bank.example")));
    NAME_CONSTRAINTS_free(theirs);
    X509_free(issuer);
    free_made(&root);
    constraints_free(&constraints);
    constraints_free(&again);
}

static void understands_a_companys(void **state)
{
    struct made issuer = make_certificate(&(struct recipe){
        .cn = "company",
        .constraints = "critical,permitted;DNS:.corp.example,permitted;IP:10.0.0.0/255.0.0.0,"
                       "excluded;DNS:hr.corp.example,excluded;IP:10.9.0.0/255.255.0.0" });
    struct made plain = make_certificate(&(struct recipe){ .cn = "company" });
    struct made named = make_certificate(&(struct recipe){
        .cn = "company",
        .other = "2.5.29.30=critical,DER:30:0F:A0:0D:30:0B:A4:09:30:07:31:05:30:03:06:01:2A" });
    struct constraints *constraints = NULL;
    struct made odd;
    (void)state;

    assert_int_equal(constraints_of(&constraints, issuer.certificate, NULL), ERROR_NONE);
    assert_true(constraints_allow_name(constraints, SPAN("a.corp.example")));
    assert_true(constraints_allow_name(constraints, SPAN("*.a.corp.example")));
    assert_false(constraints_allow_name(constraints, SPAN("hr.corp.example")));
    assert_false(constraints_allow_name(constraints, SPAN("*.corp.example")));
    assert_false(constraints_allow_name(constraints, SPAN("example.org")));
    assert_true(constraints_allow_address(constraints, SPAN("\x0a\1\1\1")));
    assert_false(constraints_allow_address(constraints, SPAN("\x0a\x09\1\1")));
    assert_false(constraints_allow_address(constraints, SPAN("\x0b\1\1\1")));
    assert_false(constraints_limit_subjects(constraints));
    constraints_free(&constraints);

    assert_int_equal(constraints_of(&constraints, plain.certificate, NULL), ERROR_NONE);
    assert_int_equal(constraints_count(constraints), 0);
    assert_true(constraints_allow_name(constraints, SPAN("bank.example")));
    constraints_free(&constraints);

    // What RFC 5280 forbids: a minimum of 1.
    odd = make_certificate(&(struct recipe){
        .cn = "odd",
        .other = "2.5.29.30=critical,DER:30:0E:A1:0C:30:0A:82:05:61:2E:62:2E:63:80:01:01" });
    assert_int_equal(constraints_of(&constraints, odd.certificate, NULL), ERROR_UNSUPPORTED);
    free_made(&odd);
    // Something said of subjects.
    odd = make_certificate(&(struct recipe){
        .cn = "odd",
        .other = "2.5.29.30=critical,DER:30:18:A0:16:30:14:A4:12:30:10:31:0E:30:0C:06:03:55:04:0A:"
                 "0C:05:43:6F:72:70:31" });
    assert_int_equal(constraints_of(&constraints, odd.certificate, NULL), ERROR_NONE);
    assert_true(constraints_limit_subjects(constraints));
    constraints_free(&constraints);
    free_made(&odd);
    // Damaged: a directory name that is none.
    assert_int_equal(constraints_of(&constraints, named.certificate, NULL), ERROR_CORRUPT);
    free_made(&issuer);
    free_made(&plain);
    free_made(&named);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lists),
        cmocka_unit_test(lists_end_at_their_limits),
        cmocka_unit_test(excludes_what_is_below),
        cmocka_unit_test(understands_a_companys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
