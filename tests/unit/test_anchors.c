/* Whom to trust for which host: the system's roots, and those that extra_ca adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "certificates.h"
#include "proxy/anchors.h"
#include "proxy_config.h"

static struct buffer system_pem, general_pem, site_pem;

static struct buffer make_root(const char *name)
{
    struct made made = make_certificate(&(struct recipe)ROOT_RECIPE(name));
    struct buffer pem = pem_of(made.certificate);

    free_made(&made);
    return pem;
}

static int make_roots(void **state)
{
    (void)state;
    system_pem = make_root("system");
    general_pem = make_root("general");
    site_pem = make_root("site");
    return 0;
}

static int free_roots(void **state)
{
    (void)state;
    buffer_release(&system_pem);
    buffer_release(&general_pem);
    buffer_release(&site_pem);
    return 0;
}

static struct anchors *anchors_of(bool has_system)
{
    const struct proxy_trust_file files[] = { { SPAN("/general.pem"), buffer_span(&general_pem) },
                                              { SPAN("/site.pem"), buffer_span(&site_pem) } };
    const struct proxy_trust trust = { .roots = has_system ? buffer_span(&system_pem) : SPAN_NONE,
                                       .files = files,
                                       .file_count = 2 };
    struct anchors *anchors;
    struct error error;

    if (anchors_new(&anchors, &trust, &error) != ERROR_NONE)
        fail_msg("%s", error.text);
    return anchors;
}

static const struct {
    const char *name, *config, *host;
    bool has_system;
    size_t want; // roots
} cases[] = {
    { "the system's alone", "", "a.example", true, 1 },
    { "nothing at all", "", "a.example", false, 0 },
    { "general", "extra_ca = {/general.pem}", "a.example", true, 2 },
    { "general, without a system", "extra_ca = {/general.pem}", "a.example", false, 1 },
    { "for a site", "site \"*.example\" { extra_ca = {/site.pem} }", "a.example", true, 2 },
    { "for another site", "site \"*.example\" { extra_ca = {/site.pem} }", "a.test", true, 1 },
    { "both", "extra_ca = {/general.pem}\nsite \"*.example\" { extra_ca = {/site.pem} }",
      "a.example", true, 3 },
    { "the same in two sections",
      "site \"*\" { extra_ca = {/site.pem} }\nsite \"a*\" { extra_ca = {/site.pem} }", "a.example",
      true, 2 },
    { "one that was not handed in", "extra_ca = {/gone.pem}", "a.example", true, 1 },
};

static void each_host_has_its_roots(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings *settings = good_settings(cases[i].config);
        struct anchors *anchors = anchors_of(cases[i].has_system);
        struct verify_roots *roots = anchors_for(anchors, settings, span_text(cases[i].host));
        size_t got = roots ? verify_roots_count(roots) : 0;

        if (got != cases[i].want)
            fail_msg("%s: %zu roots", cases[i].name, got);
        // made once
        assert_ptr_equal(roots, anchors_for(anchors, settings, span_text(cases[i].host)));
        anchors_free(&anchors);
        anchors_free(&anchors); // harmless
        settings_unref(&settings);
    }
}

static void files_must_hold_something(void **state)
{
    static const struct {
        const char *pem;
        enum error_kind want;
    } bad[] = {
        { "", ERROR_CONFIG },
        { "nothing\n", ERROR_CONFIG },
        { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ERROR_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct proxy_trust_file file = { SPAN("/bad.pem"), span_text(bad[i].pem) };
        const struct proxy_trust trust = { .roots = buffer_span(&system_pem),
                                           .files = &file,
                                           .file_count = 1 };
        struct anchors *anchors = NULL;
        struct error error;

        if (anchors_new(&anchors, &trust, &error) != bad[i].want)
            fail_msg("%zu: %s", i, error.text);
        assert_null(anchors);
        assert_non_null(strstr(error.text, "extra_ca /bad.pem: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_has_its_roots),
        cmocka_unit_test(files_must_hold_something),
    };
    return cmocka_run_group_tests(tests, make_roots, free_roots);
}
