/* The texts that options take, one row each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <crypt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "state/config_value.h"

static const struct {
    const char *text;
    bool is_good;
    uint64_t ms;
    const char *shortest;
} durations[] = {
    { "0", true, 0, "0s" },
    { "10", true, 10000, "10s" },
    { "10s", true, 10000, "10s" },
    { "300 ms", true, 300, "300ms" },
    { "300ms", true, 300, "300ms" },
    { "300\tms", true, 300, "300ms" },
    { "90s", true, 90000, "90s" },
    { "120s", true, 120000, "2m" },
    { "5m", true, 300000, "5m" },
    { "1h", true, 3600000, "1h" },
    { "24h", true, 86400000, "1d" },
    { "2d", true, 172800000, "2d" },
    { "007s", true, 7000, "7s" },
    { "18446744073709551615ms", true, UINT64_MAX, "18446744073709551615ms" },
    { "18446744073709551616ms", false, 0, NULL },
    { "18446744073709551s", true, 18446744073709551000u, "18446744073709551s" },
    { "18446744073709552s", false, 0, NULL },
    { "", false, 0, NULL },
    { "s", false, 0, NULL },
    { " 1s", false, 0, NULL },
    { "1s ", true, 1000, "1s" },
    { "1 ", false, 0, NULL },
    { "-1s", false, 0, NULL },
    { "+1s", false, 0, NULL },
    { "1.5s", false, 0, NULL },
    { "1S", false, 0, NULL },
    { "1sec", false, 0, NULL },
    { "1h30m", false, 0, NULL },
    { "0x1s", false, 0, NULL },
};

static void reads_durations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        char text[CONFIG_DURATION_BYTES];
        uint64_t ms = 77;
        bool is_good = config_read_duration(span_text(durations[i].text), &ms);

        if (is_good != durations[i].is_good || (is_good ? ms != durations[i].ms : ms != 77))
            fail_msg("\"%s\": %d %" PRIu64, durations[i].text, is_good, ms);
        if (is_good && strcmp(config_write_duration(ms, text), durations[i].shortest) != 0)
            fail_msg("\"%s\" is written %s", durations[i].text, text);
    }
}

enum { LISTENER = 1, BLOCK = 2, DESTINATION = 4, PORTS = 8, WILDCARD = 16, PARENT = 32 };

static const struct {
    const char *text;
    int is;
} texts[] = {
    { "", 0 },
    { "127.0.0.1", BLOCK | DESTINATION | WILDCARD },
    { "127.0.0.1:80", LISTENER | DESTINATION | WILDCARD },
    { "127.0.0.1:0", LISTENER | WILDCARD },
    { "127.0.0.1:65535", LISTENER | DESTINATION | WILDCARD },
    { "127.0.0.1:65536", WILDCARD },
    { "127.0.0.1:80-90", DESTINATION | WILDCARD },
    { "127.0.0.1:90-80", WILDCARD },
    { "127.0.0.1:80-", WILDCARD },
    { "127.0.0.1:", WILDCARD },
    { "127.0.0.1:080", LISTENER | DESTINATION | WILDCARD },
    { "127.0.0.1:000080", WILDCARD },
    { "127.0.0.1:+80", WILDCARD },
    { "127.1:80", WILDCARD },
    { "0127.0.0.1:80", WILDCARD },
    { "256.0.0.1", WILDCARD },
    { "10.0.0.0/8", BLOCK | DESTINATION },
    { "10.0.0.0/0", BLOCK | DESTINATION },
    { "10.0.0.0/32", BLOCK | DESTINATION },
    { "10.0.0.0/33", 0 },
    { "10.0.0.0/", 0 },
    { "10.0.0.0/8:80", DESTINATION },
    { "10.0.0.0/8/8", 0 },
    { "::1", BLOCK | DESTINATION | WILDCARD },
    { "[::1]", DESTINATION | WILDCARD },
    { "[::1]:80", LISTENER | DESTINATION | WILDCARD },
    { "[::1]:80-81", DESTINATION | WILDCARD },
    { "[::1]80", WILDCARD },
    { "[]:80", WILDCARD },
    { "[127.0.0.1]:80", WILDCARD },
    { "fd00::/8", BLOCK | DESTINATION },
    { "fd00::/128", BLOCK | DESTINATION },
    { "fd00::/129", 0 },
    { "[fd00::]/8", DESTINATION },
    { "[fd00::]/8:443", DESTINATION },
    { "[fd00::/8]:443", 0 },
    { "fe80::1%eth0", WILDCARD },
    { "::ffff:10.0.0.1", BLOCK | DESTINATION | WILDCARD },
    { "443", PORTS | WILDCARD },
    { "8000-8999", PORTS | WILDCARD },
    { "1-65535", PORTS | WILDCARD },
    { "0", WILDCARD },
    { "0-1", WILDCARD },
    { "65536", WILDCARD },
    { "1-65536", WILDCARD },
    { "2-1", WILDCARD },
    { "1-2-3", WILDCARD },
    { "80,443", WILDCARD },
    { "localhost:80", WILDCARD },
    { "*", WILDCARD },
    { "*.example.com", WILDCARD },
    { "a b", 0 },
    { "user@host", 0 },
    { "http://h:1", PARENT },
    { "HTTP://h:65535", PARENT },
    { "socks5://127.0.0.1:9050", PARENT },
    { "socks5://[::1]:9050", PARENT },
    { "http://u:p@h:3128", PARENT },
    { "http://u:@h:3128", PARENT },
    { "http://u@h:3128", 0 },
    { "http://u:p:q@h:3128", PARENT },
    { "http://u:p@q@h:3128", 0 },
    { "http://:p@h:3128", 0 },
    { "http://u%40x:%3a@h:3128", PARENT },
    { "http://u:%@h:3128", 0 },
    { "http://u:%2@h:3128", 0 },
    { "http://u:%2g@h:3128", 0 },
    { "http://u:%00@h:3128", 0 },
    { "http://h", 0 },
    { "http://h:", 0 },
    { "http://h:0", 0 },
    { "http://h:65536", 0 },
    { "http://h:1/", PARENT },
    { "http://h:1//", 0 },
    { "http://h:1/a", 0 },
    { "http:///", 0 },
    { "http://:1", 0 },
    { "http://[::1:1", 0 },
    { "http://", 0 },
    { "https://h:1", 0 },
    { "socks4://h:1", 0 },
    { "h:1", WILDCARD },
};

static int kinds_of(struct span text)
{
    bool is_loopback;

    return (config_is_listener(text, &is_loopback) ? LISTENER : 0) |
           (config_is_block(text) ? BLOCK : 0) | (config_is_destination(text) ? DESTINATION : 0) |
           (config_is_ports(text) ? PORTS : 0) | (config_is_wildcard(text) ? WILDCARD : 0) |
           (config_is_parent(text) ? PARENT : 0);
}

static void tells_texts_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int is = kinds_of(span_text(texts[i].text));

        if (is != texts[i].is)
            fail_msg("\"%s\": %d", texts[i].text, is);
    }
    assert_int_equal(kinds_of(span_of("1\0", 2)), 0);
    assert_int_equal(kinds_of(span_of("::1\0", 4)), 0);
}

static void knows_loopback(void **state)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        { "127.0.0.1:1", true }, { "127.255.255.255:1", true }, { "128.0.0.1:1", false },
        { "0.0.0.0:1", false },  { "[::1]:1", true },           { "[0:0:0:0:0:0:0:1]:1", true },
        { "[::]:1", false },     { "[::2]:1", false },          { "[::ffff:127.0.0.1]:1", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is_loopback = !rows[i].is_loopback;

        if (!config_is_listener(span_text(rows[i].text), &is_loopback) ||
            is_loopback != rows[i].is_loopback)
            fail_msg("%s: %d", rows[i].text, is_loopback);
    }
}

static bool is_path(struct span text)
{
    return config_is_path(text);
}

static void limits_lengths(void **state)
{
    static const struct {
        const char *name;
        bool (*check)(struct span);
        char first;
        size_t most;
    } rows[] = {
        { "wildcard", config_is_wildcard, 'a', CONFIG_TEXT_BYTES },
        { "plain text", config_is_plain_text, 'a', CONFIG_TEXT_BYTES },
        { "user", config_is_user_name, 'a', CONFIG_TEXT_BYTES },
        { "path", is_path, '/', CONFIG_PATH_BYTES },
    };
    char text[CONFIG_PATH_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(text, 'a', sizeof text);
        text[0] = rows[i].first;
        if (!rows[i].check(span_of(text, 1)) || !rows[i].check(span_of(text, rows[i].most)) ||
            rows[i].check(span_of(text, rows[i].most + 1)) || rows[i].check(span_of(text, 0)))
            fail_msg("%s", rows[i].name);
    }
}

/* The name of the host, 253 bytes; user and password, 255 each when they are decoded. */
static void limits_parents(void **state)
{
    char text[400];

    (void)state;
    for (int size = 253; size <= 254; size++) {
        snprintf(text, sizeof text, "http://%0*d:1", size, 0);
        assert_int_equal(config_is_parent(span_text(text)), size == 253);
    }
    for (int size = 255; size <= 256; size++) {
        snprintf(text, sizeof text, "socks5://%0*d:p@h:1", size, 0);
        assert_int_equal(config_is_parent(span_text(text)), size == 255);
        snprintf(text, sizeof text, "socks5://u:%%20%0*d@h:1", size - 1, 0);
        assert_int_equal(config_is_parent(span_text(text)), size == 255);
    }
}

static void knows_good_hashes(void **state)
{
    static const struct {
        const char *name, *prefix;
        bool is_good;
    } rows[] = {
        { "yescrypt", "$y$", true },    { "gost-yescrypt", "$gy$", true },
        { "scrypt", "$7$", true },      { "bcrypt", "$2b$", true },
        { "sha512crypt", "$6$", true }, { "sha256crypt", "$5$", false },
        { "md5crypt", "$1$", false },   { "descrypt", "", false },
    };
    static const char *const bad[] = {
        "",
        "$",
        "secret",
        "*",
        "!",
        "x",
        "$y$",
        "$y$j9T$NFTVQjt/MesSS3sQQjmjh.",
        "$apr1$x$012345678901234567890123456789012",
        "$6$",
        "$y$j9T$NFTVQjt/MesSS3sQQjmjh.$kUu0/nnCl9H.gLv261G8trbii2UDFw6WIzpp7ioRLF:",
        "$zz$0123456789012345678901234567890123456789",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char salt[CRYPT_GENSALT_OUTPUT_SIZE];
        struct crypt_data data = { 0 };
        const char *hash;
        // At the method's least cost, which is not the same number for all.
        unsigned long cost = strcmp(rows[i].name, "bcrypt") == 0   ? 4
                             : strstr(rows[i].name, "sha")         ? 1000
                             : strcmp(rows[i].name, "scrypt") == 0 ? 6
                             : strstr(rows[i].name, "yescrypt")    ? 1
                                                                   : 0;

        assert_non_null(crypt_gensalt_rn(rows[i].prefix, cost, NULL, 0, salt, sizeof salt));
        hash = crypt_r("secret", salt, &data);
        assert_non_null(hash);
        if (config_is_password_hash(span_text(hash)) != rows[i].is_good)
            fail_msg("%s: %s", rows[i].name, hash);
        if (config_is_password_hash(span_text(salt)))
            fail_msg("%s: the setting alone is taken", rows[i].name);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (config_is_password_hash(span_text(bad[i])))
            fail_msg("\"%s\"", bad[i]);
    }
}

static void reads_switches(void **state)
{
    static const struct {
        const char *text;
        bool is_good, means;
    } rows[] = {
        { "yes", true, true },  { "Yes", true, true },    { "true", true, true },
        { "ON", true, true },   { "no", true, false },    { "false", true, false },
        { "off", true, false }, { "", false, false },     { "1", false, false },
        { "y", false, false },  { "yes ", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool means = !rows[i].means;
        bool is_good = config_read_switch(span_text(rows[i].text), &means);

        if (is_good != rows[i].is_good || means != (is_good ? rows[i].means : !rows[i].means))
            fail_msg("\"%s\"", rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_switches),    cmocka_unit_test(reads_durations),
        cmocka_unit_test(tells_texts_apart), cmocka_unit_test(knows_loopback),
        cmocka_unit_test(limits_lengths),    cmocka_unit_test(limits_parents),
        cmocka_unit_test(knows_good_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
