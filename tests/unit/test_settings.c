/* Settings: clients let in, ports, parents by pattern, and what a parent's URL says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy_config.h"

static struct settings *make(const char *text)
{
    struct settings *settings;
    struct error error;

    if (settings_of(&settings, text, &error))
        fail_msg("%s: %s", text, error.text);
    return settings;
}

#define USER                                                                                       \
    "user \"me\" { password = \"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"                                    \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\" }\n"

static const struct {
    const char *config, *client;
    enum admission want;
} clients[] = {
    { "", "127.0.0.1", ADMISSION_FREE },
    { "", "::1", ADMISSION_FREE },
    { "", "192.168.1.1", ADMISSION_REFUSED },
    { "allow = {\"192.168.1.0/24\"}", "192.168.1.1", ADMISSION_FREE },
    { "allow = {\"192.168.1.0/24\"}", "::ffff:192.168.1.1", ADMISSION_FREE },
    { "allow = {\"192.168.1.0/24\"}", "192.168.2.1", ADMISSION_REFUSED },
    { "allow = {\"192.168.1.0/24\"}", "127.0.0.1", ADMISSION_FREE },
    { "allow = {\"fd00::/8\"}", "fd12::1", ADMISSION_FREE },
    { USER, "127.0.0.1", ADMISSION_WITH_PASSWORD },
    { USER, "192.168.1.1", ADMISSION_WITH_PASSWORD },
    { USER "allow = {\"127.0.0.1\"}", "127.0.0.1", ADMISSION_FREE },
    { USER "allow = {\"127.0.0.1\"}", "127.0.0.2", ADMISSION_WITH_PASSWORD },
};

static void lets_in_whom_the_config_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        struct settings *settings = make(clients[i].config);
        struct address client;

        assert_true(address_parse(&client, span_text(clients[i].client), 4711));
        if (settings_admit(settings, &client) != clients[i].want)
            fail_msg("row %zu: %s", i, clients[i].client);
        settings_unref(&settings);
    }
}

static const struct {
    const char *config, *host, *want; // the parent's name
} hosts[] = {
    { "", "a.example", NULL },
    { "parent \"p\" { url = \"http://proxy:1\" }", "a.example", "p" },
    { "parent \"p\" { url = \"http://proxy:1\" for = {\"*.onion\"} }", "x.onion", "p" },
    { "parent \"p\" { url = \"http://proxy:1\" for = {\"*.onion\"} }", "onion.example", NULL },
    { "parent \"p\" { url = \"http://proxy:1\" except = {\"*.lan\"} }", "a.lan", NULL },
    { "parent \"p\" { url = \"http://proxy:1\" except = {\"*.lan\"} }", "A.LAN", NULL },
    { "parent \"p\" { url = \"http://proxy:1\" for = {\"*.a\"} }\n"
      "parent \"q\" { url = \"http://proxy:2\" }",
      "x.a", "p" },
    { "parent \"p\" { url = \"http://proxy:1\" for = {\"*.a\"} }\n"
      "parent \"q\" { url = \"http://proxy:2\" }",
      "x.b", "q" },
};

static void finds_the_first_parent_that_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct settings *settings = make(hosts[i].config);
        const struct parent *got = settings_parent_for(settings, span_text(hosts[i].host));

        if (!got != !hosts[i].want || (got && !span_equal(got->name, span_text(hosts[i].want))))
            fail_msg("row %zu: %s", i, hosts[i].host);
        settings_unref(&settings);
    }
}

static const struct {
    const char *url, *want; // "kind host port user password authorization", or NULL: refused
} parents[] = {
    { "http://proxy.example:3128", "http proxy.example 3128 - - -" },
    { "http://proxy.example:3128/", "http proxy.example 3128 - - -" },
    { "socks5://u:p@[::1]:9050/", "socks5 ::1 9050 u p Basic dTpw" },
    { "http://proxy.example:3128//", NULL },
    { "http://proxy.example:3128/a", NULL },
    { "http:///", NULL },
    { "socks5://127.0.0.1:9050", "socks5 127.0.0.1 9050 - - -" },
    { "SOCKS5://[::1]:9050", "socks5 ::1 9050 - - -" },
    { "http://u:p@h:1", "http h 1 u p Basic dTpw" },
    { "http://u:@h:1", "http h 1 u  Basic dTo=" },
    { "http://us:p%40%3A@h:1", "http h 1 us p@: Basic dXM6cEA6" },
    { "http://h", NULL },
    { "http://h:0", NULL },
    { "http://h:65536", NULL },
    { "http://:1", NULL },
    { "https://h:1", NULL },
    { "socks4://h:1", NULL },
    { "http://u:%zz@h:1", NULL },
    { "http://u:%0@h:1", NULL },
    { "http://u:%00@h:1", NULL },
    { "http://[::1]", NULL },
    { "http://[::g]:1", NULL },
    { "h:1", NULL },
};

static void reads_parents_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        struct settings *settings;
        struct error error;
        char config[300], got[300] = "";

        snprintf(config, sizeof config, "parent \"p\" { url = \"%s\" }", parents[i].url);
        if (settings_of(&settings, config, &error) == ERROR_NONE) {
            const struct parent *p = &settings->parents[0];
            snprintf(got, sizeof got, "%s %.*s %u %.*s %.*s %.*s",
                     p->kind == PARENT_HTTP ? "http" : "socks5", SPAN_PRINT(p->host), p->port,
                     SPAN_PRINT(p->user.at ? p->user : SPAN("-")),
                     SPAN_PRINT(p->password.at ? p->password : SPAN("-")),
                     SPAN_PRINT(p->authorization.at ? p->authorization : SPAN("-")));
            settings_unref(&settings);
        }
        if (strcmp(got, parents[i].want ? parents[i].want : "") != 0)
            fail_msg("%s: \"%s\"", parents[i].url, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_whom_the_config_names),
        cmocka_unit_test(finds_the_first_parent_that_fits),
        cmocka_unit_test(reads_parents_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
