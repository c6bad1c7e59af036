/* Where a request may go, by port and by resolved address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/destination.h"
#include "proxy_config.h"

static const struct {
    const char *config;
    uint16_t port;
    bool is_connect, want;
} ports[] = {
    { "", 443, true, true },
    { "", 80, true, true },
    { "", 22, true, false },
    { "", 8443, true, false },
    { "connect_ports = {\"8000-8099\"}", 8000, true, true },
    { "connect_ports = {\"8000-8099\"}", 8099, true, true },
    { "connect_ports = {\"8000-8099\"}", 8100, true, false },
    { "connect_ports = {\"8000-8099\"}", 7999, true, false },
    { "connect_ports = {\"8000-8099\"}", 443, true, false },
    { "", 80, false, true },
    { "", 8080, false, true },
    { "", 1, false, false },
    { "", 25, false, false },
    { "", 10080, false, false },
    { "allow_destinations = {\"10.0.0.0/8:25\"}", 25, false, true },
    { "allow_destinations = {\"10.0.0.0/8\"}", 25, false, false },
    { "allow_destinations = {\"10.0.0.0/8:20-30\"}", 25, false, true },
};

static void decides_by_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct destination to = { .host = SPAN("www.example"), .port = ports[i].port };
        struct settings *settings;
        struct error error;
        bool got;

        if (settings_of(&settings, ports[i].config, &error))
            fail_msg("%s", error.text);
        got = destination_check_port(settings, &to, ports[i].is_connect, &error) == ERROR_NONE;
        if (got != ports[i].want)
            fail_msg("row %zu: port %u %s", i, ports[i].port, ports[i].is_connect ? "connect" : "");
        settings_unref(&settings);
    }
}

static const struct {
    const char *config, *host, *address; // a host of "": a literal
    bool want;
} addresses[] = {
    { "", "www.example", "93.184.216.34:80", true },
    { "", "www.example", "[2606:2800:220:1::1]:80", true },
    { "", "www.example", "127.0.0.1:80", false },
    { "", "", "127.0.0.1:80", false },
    { "", "localhost", "[::1]:80", false },
    { "", "", "[::ffff:127.0.0.1]:80", false },
    { "", "", "[64:ff9b::7f00:1]:80", false },
    { "", "", "[64:ff9b:1:0:7f:0:100:0]:80", false }, // 127.0.0.1 behind a prefix of 64 bits
    { "", "", "169.254.169.254:80", false },
    { "", "", "[fe80::1]:80", false },
    { "", "", "224.0.0.1:80", false },
    { "", "", "0.0.0.0:80", false },
    { "", "", "[::]:80", false },
    { "", "", "255.255.255.255:80", false },
    { "", "", "192.168.1.1:80", true },
    { "", "", "[fd00::1]:80", true },
    { "", "nas", "192.168.1.1:80", true },
    { "", "nas.lan", "192.168.1.1:80", true },
    { "", "nas.local", "10.0.0.1:80", true },
    { "", "nas.home.arpa", "10.0.0.1:80", true },
    { "", "x.internal", "172.16.0.1:80", true },
    { "", "xinternal.example", "172.16.0.1:80", false },
    { "", "www.example", "192.168.1.1:80", false },
    { "", "www.example", "[::ffff:192.168.1.1]:80", false },
    { "", "www.example", "[64:ff9b::a00:1]:80", false },
    { "", "www.example", "[64:ff9b:1:0:a:0:100:0]:80", false },
    { "", "www.example", "[fd00::1]:80", false },
    { "private_names = {\"*.corp.example\"}", "a.corp.example", "10.0.0.1:80", true },
    { "private_names = {\"*.corp.example\"}", "corp.example", "10.0.0.1:80", false },
    { "allow_destinations = {\"127.0.0.1:3000\"}", "", "127.0.0.1:3000", true },
    { "allow_destinations = {\"127.0.0.1:3000\"}", "", "127.0.0.1:3001", false },
    { "allow_destinations = {\"127.0.0.1:3000\"}", "", "127.0.0.2:3000", false },
    { "allow_destinations = {\"127.0.0.1:3000\"}", "", "[::ffff:127.0.0.1]:3000", true },
    { "allow_destinations = {\"127.0.0.0/8\"}", "", "127.0.0.1:8119", false }, // ours
    { "allow_destinations = {\"127.0.0.0/8\"}", "", "127.0.0.1:8120", false }, // ours, everywhere
    { "allow_destinations = {\"127.0.0.0/8\"}", "", "127.0.0.1:8121", true },
    { "", "", "10.0.0.9:8120", true },
};

static void decides_by_resolved_address(void **state)
{
    struct address own[2];

    (void)state;
    assert_true(address_parse_with_port(&own[0], SPAN("127.0.0.1:8119")));
    assert_true(address_parse_with_port(&own[1], SPAN("0.0.0.0:8120")));
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct destination to = { .host = span_text(addresses[i].host), .port = 80 };
        struct settings *settings;
        struct address at;
        struct error error;
        bool got;

        to.is_literal = to.host.size == 0;
        if (settings_of(&settings, addresses[i].config, &error))
            fail_msg("%s", error.text);
        assert_true(address_parse_with_port(&at, span_text(addresses[i].address)));
        got = destination_check_address(settings, &to, &at, own, 2, &error) == ERROR_NONE;
        if (got != addresses[i].want)
            fail_msg("row %zu: %s %s", i, addresses[i].host, addresses[i].address);
        if (!got && error.kind != ERROR_FORBIDDEN)
            fail_msg("row %zu: kind %d", i, error.kind);
        settings_unref(&settings);
    }
}

/* Nothing lifts this. */
static void own_listeners_are_refused_always(void **state)
{
    static const struct {
        const char *own, *address;
        bool want_refused;
    } rows[] = {
        { "127.0.0.1:8119", "127.0.0.1:8119", true },
        { "127.0.0.1:8119", "127.0.0.2:8119", false },
        { "127.0.0.1:8119", "[::ffff:127.0.0.1]:8119", true },
        { "127.0.0.1:8119", "[64:ff9b::127.0.0.1]:8119", true },
        { "[::ffff:127.0.0.1]:8119", "127.0.0.1:8119", true },
        { "0.0.0.0:8119", "127.9.9.9:8119", true },
        { "[::]:8119", "[::1]:8119", true },
        { "[::]:8119", "127.0.0.1:8119", true },
        { "192.168.1.2:8119", "192.168.1.2:8119", true },
        { "192.168.1.2:8119", "192.168.1.3:8119", false },
    };
    struct settings *settings;
    struct error error;

    (void)state;
    if (settings_of(&settings, "allow_destinations = {\"0.0.0.0/0\", \"::/0\"}", &error))
        fail_msg("%s", error.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct destination to = { .port = 8119, .is_literal = true };
        struct address at, own;
        bool got;

        assert_true(address_parse_with_port(&at, span_text(rows[i].address)));
        assert_true(address_parse_with_port(&own, span_text(rows[i].own)));
        got = destination_check_address(settings, &to, &at, &own, 1, &error) != ERROR_NONE;
        if (got != rows[i].want_refused)
            fail_msg("%s with %s", rows[i].address, rows[i].own);
    }
    settings_unref(&settings);
}

/* The page names the one line that would allow it: with that line it must be allowed. */
static void names_the_line_that_allows_it(void **state)
{
    static const char *const rows[][2] = {
        { "", "169.254.169.254:80" },
        { "", "127.0.0.1:3000" },
        { "", "[::1]:3000" },
        { "", "224.0.0.1:80" },
        { "www.example", "192.168.1.1:80" },
        { "", "[fe80::1]:80" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct destination to = { .host = span_text(rows[i][0]), .port = 80 };
        struct settings *settings;
        struct address at;
        struct error error;
        const char *line;

        to.is_literal = to.host.size == 0;
        assert_true(address_parse_with_port(&at, span_text(rows[i][1])));
        assert_int_equal(settings_of(&settings, "", &error), ERROR_NONE);
        assert_int_equal(destination_check_address(settings, &to, &at, NULL, 0, &error),
                         ERROR_FORBIDDEN);
        settings_unref(&settings);
        line = strstr(error.text, "allow it: ");
        assert_non_null(line);
        if (settings_of(&settings, line + 10, &error))
            fail_msg("%s: %s", line + 10, error.text);
        if (destination_check_address(settings, &to, &at, NULL, 0, &error))
            fail_msg("%s: %s", line + 10, error.text);
        settings_unref(&settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_by_port),
        cmocka_unit_test(decides_by_resolved_address),
        cmocka_unit_test(own_listeners_are_refused_always),
        cmocka_unit_test(names_the_line_that_allows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
