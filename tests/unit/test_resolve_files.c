/* The texts of resolv.conf and hosts: what counts, what is passed over, where they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "io/resolve_files.h"

/* "server server; domain domain; ndots timeout attempts rotate" */
static const char *describe(const struct resolve_conf *conf)
{
    static char text[4000];
    char address[ADDRESS_TEXT_BYTES];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < conf->server_count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ",
                                 address_text_with_port(&conf->servers[i], address));
        if (conf->servers[i].any.sa_family == AF_INET6 && conf->servers[i].v6.sin6_scope_id)
            used += (size_t)snprintf(text + used, sizeof text - used, "scope %u ",
                                     conf->servers[i].v6.sin6_scope_id);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "; ");
    for (size_t i = 0; i < conf->domain_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ", conf->domains[i]);
    snprintf(text + used, sizeof text - used, "; %u %u %u%s", conf->ndots, conf->timeout_s,
             conf->attempts, conf->rotate ? " rotate" : "");
    return text;
}

static const struct {
    const char *text, *want;
} confs[] = {
    { "", "; ; 1 0 0" },
    { "nameserver 192.0.2.1", "192.0.2.1:53 ; ; 1 0 0" },
    { "nameserver 192.0.2.1\nnameserver ::1\n", "192.0.2.1:53 [::1]:53 ; ; 1 0 0" },
    { "nameserver\t192.0.2.1  # comment", "192.0.2.1:53 ; ; 1 0 0" },
    { "  nameserver 192.0.2.1\r\n", "192.0.2.1:53 ; ; 1 0 0" },
    { "#nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", "; ; 1 0 0" },
    { "nameserver 127.0.0.1:5353", "127.0.0.1:5353 ; ; 1 0 0" },
    { "nameserver [::1]:5353", "[::1]:5353 ; ; 1 0 0" },
    { "nameserver [::1]", "[::1]:53 ; ; 1 0 0" },
    { "nameserver fe80::1%3", "[fe80::1]:53 scope 3 ; ; 1 0 0" },
    { "nameserver fe80::1%lo", "[fe80::1]:53 scope 1 ; ; 1 0 0" },
    { "nameserver [fe80::1%3]:54", "[fe80::1]:54 scope 3 ; ; 1 0 0" },
    { "nameserver fe80::1%", "; ; 1 0 0" },
    { "nameserver fe80::1%0", "; ; 1 0 0" },
    { "nameserver fe80::1%no-such-link", "; ; 1 0 0" },
    { "nameserver fe80::1%99999999999", "; ; 1 0 0" },
    { "nameserver 192.0.2.1%1", "; ; 1 0 0" },
    { "nameserver 127.0.0.1:0", "; ; 1 0 0" },
    { "nameserver 127.0.0.1:65535", "127.0.0.1:65535 ; ; 1 0 0" },
    { "nameserver 127.0.0.1:65536", "; ; 1 0 0" },
    { "nameserver 127.0.0.1:", "; ; 1 0 0" },
    { "nameserver 127.0.0.1:53x", "; ; 1 0 0" },
    { "nameserver [::1]53", "; ; 1 0 0" },
    { "nameserver [::1", "; ; 1 0 0" },
    { "nameserver [", "; ; 1 0 0" },
    { "nameserver localhost", "; ; 1 0 0" },
    { "nameserver", "; ; 1 0 0" },
    { "nameservers 192.0.2.1", "; ; 1 0 0" },
    { "search A.example b.Example.\n", "; a.example b.example ; 1 0 0" },
    { "search a.example # and b.example\n", "; a.example ; 1 0 0" },
    { "search a.example\nsearch b.example", "; b.example ; 1 0 0" },
    { "search a.example b.example\ndomain c.example d.example", "; c.example ; 1 0 0" },
    { "domain c.example\nsearch a.example b.example", "; a.example b.example ; 1 0 0" },
    { "search . a..b -x- under_score", "; -x- under_score ; 1 0 0" },
    { "search", "; ; 1 0 0" },
    { "options ndots:2 timeout:3 attempts:4 rotate", "; ; 2 3 4 rotate" },
    { "options ndots:0 timeout:0 attempts:0", "; ; 0 1 1" },
    { "options ndots:15 timeout:30 attempts:5", "; ; 15 30 5" },
    { "options ndots:16 timeout:31 attempts:6", "; ; 15 30 5" },
    { "options ndots:99999999999999999999", "; ; 1 0 0" },
    { "options ndots: timeout:-1 attempts:x edns0 trust-ad", "; ; 1 0 0" },
    { "options ndots:2\noptions timeout:2", "; ; 2 2 0" },
    { "sortlist 1.2.3.4\nfamily inet6\nlookup file bind\n", "; ; 1 0 0" },
};

static void confs_say_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof confs / sizeof *confs; i++) {
        struct resolve_conf conf;
        const char *got;

        assert_int_equal(resolve_conf_parse(&conf, span_text(confs[i].text), NULL), ERROR_NONE);
        got = describe(&conf);
        if (strcmp(got, confs[i].want) != 0)
            fail_msg("%s: %s", confs[i].text, got);
    }
}

static void scopes_get_numbers(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "", "" },
        { "nameserver fe80::1%lo", "nameserver fe80::1%1" },
        { "nameserver fe80::1%lo\n", "nameserver fe80::1%1\n" },
        { "  nameserver\t[fe80::1%lo]:54 # %lo\r\n\n#%lo\nsearch a%lo",
          "  nameserver\t[fe80::1%1]:54 # %lo\r\n\n#%lo\nsearch a%lo" },
        { "nameserver fe80::1%3\nnameserver fe80::2%lo\n",
          "nameserver fe80::1%3\nnameserver fe80::2%1\n" },
        { "nameserver fe80::1%no-such-link\n", "nameserver fe80::1%no-such-link\n" },
        { "nameserver fe80::1%\n", "nameserver fe80::1%\n" },
        { "nameserver", "nameserver" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer got = { .limit_bytes = 1000 };
        if (!resolve_conf_number_scopes(&got, span_text(cases[i].text)) ||
            !span_equal(buffer_span(&got), span_text(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].text, SPAN_PRINT(buffer_span(&got)));
        buffer_release(&got);
    }
    for (size_t limit = 18; limit <= 21; limit++) { // "nameserver fe80::1%1" has 20
        struct buffer got = { .limit_bytes = limit };
        assert_int_equal(resolve_conf_number_scopes(&got, SPAN("nameserver fe80::1%lo")),
                         limit >= 20);
        buffer_release(&got);
    }
}

static void confs_have_limits(void **state)
{
    static char text[RESOLVE_CONF_BYTES + 1];
    struct resolve_conf conf;
    struct error error;
    size_t used = 0;

    (void)state;
    for (unsigned i = 1; i <= RESOLVE_SERVERS + 1; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "nameserver 192.0.2.%u\n", i);
    used += (size_t)snprintf(text + used, sizeof text - used, "search");
    for (unsigned i = 1; i <= RESOLVE_DOMAINS + 1; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, " d%u.example", i);
    assert_int_equal(resolve_conf_parse(&conf, span_of(text, used), NULL), ERROR_NONE);
    assert_int_equal(conf.server_count, RESOLVE_SERVERS);
    assert_int_equal(conf.domain_count, RESOLVE_DOMAINS);
    assert_string_equal(conf.domains[RESOLVE_DOMAINS - 1], "d16.example");

    memset(text, '\n', sizeof text);
    assert_int_equal(resolve_conf_parse(&conf, span_of(text, RESOLVE_CONF_BYTES), &error),
                     ERROR_NONE);
    assert_int_equal(resolve_conf_parse(&conf, span_of(text, RESOLVE_CONF_BYTES + 1), &error),
                     ERROR_LIMIT);
    assert_string_equal(error.text, "resolv.conf has more than 65536 bytes");
}

static void names_fold_within_their_limits(void **state)
{
    char name[300], to[RESOLVE_NAME_BYTES + 1];

    (void)state;
    memset(name, 'a', sizeof name);
    assert_int_equal(resolve_fold_name(to, span_of(name, 63)), 63);
    assert_int_equal(resolve_fold_name(to, span_of(name, 64)), 0);
    for (size_t i = 63; i < sizeof name; i += 64)
        name[i] = '.';
    assert_int_equal(resolve_fold_name(to, span_of(name, 253)), 253);
    assert_int_equal(strlen(to), 253);
    assert_int_equal(resolve_fold_name(to, span_of(name, 254)), 0);
    name[253] = '.';
    assert_int_equal(resolve_fold_name(to, span_of(name, 254)), 253);
    assert_int_equal(resolve_fold_name(to, SPAN("A.b-C_9")), 7);
    assert_string_equal(to, "a.b-c_9");
    assert_int_equal(resolve_fold_name(to, SPAN("a.b..")), 0);
    assert_int_equal(resolve_fold_name(to, SPAN("a\0b")), 0);
    assert_int_equal(resolve_fold_name(to, SPAN("a:b")), 0);
}

static const char *find(const struct hosts *hosts, const char *name)
{
    static char text[2000];
    struct address found[2 * HOSTS_ADDRESSES];
    char address[ADDRESS_TEXT_BYTES];
    size_t used = 0, count = hosts_find(hosts, span_text(name), found, 2 * HOSTS_ADDRESSES);

    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(address_port(&found[i]), 0);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "",
                                 address_text(&found[i], address));
    }
    return text;
}

static const struct {
    const char *text, *name, *want;
} lines[] = {
    { "192.0.2.1 a", "a", "192.0.2.1" },
    { "192.0.2.1 a", "b", "" },
    { "192.0.2.1\tA.Example  b\n", "a.example", "192.0.2.1" },
    { "192.0.2.1\tA.Example  b\n", "b", "192.0.2.1" },
    { "192.0.2.1 a.\r\n::1 a\n", "a", "192.0.2.1 ::1" },
    { "::1 a\n192.0.2.2 a\n192.0.2.1 a\n", "a", "::1 192.0.2.2 192.0.2.1" },
    { "192.0.2.1 a a\n192.0.2.1 a\n", "a", "192.0.2.1" },
    { "# 192.0.2.1 a\n192.0.2.2 b # a\n", "a", "" },
    { "192.0.2.2 b#a\n", "b", "192.0.2.2" },
    { "192.0.2 a\n::g a\nlocal a\n192.0.2.7 a\n", "a", "192.0.2.7" },
    { "[::1] a\nfe80::1%lo a\n192.0.2.1:80 a", "a", "" },
    { "192.0.2.1 a..b a%b ok", "ok", "192.0.2.1" },
    { "192.0.2.1\n\n   \n\t\n192.0.2.2 a", "a", "192.0.2.2" },
    { "  192.0.2.1   a  ", "a", "192.0.2.1" },
    { "0.0.0.0 ads.example\n0.0.0.0 more.ads.example", "more.ads.example", "0.0.0.0" },
};

static void hosts_say_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct hosts hosts;
        const char *got;

        assert_int_equal(hosts_init(&hosts, span_text(lines[i].text), NULL), ERROR_NONE);
        got = find(&hosts, lines[i].name);
        if (strcmp(got, lines[i].want) != 0)
            fail_msg("%s, %s: %s", lines[i].text, lines[i].name, got);
        hosts_done(&hosts);
    }
}

static void hosts_keep_sixteen_addresses_of_each_family(void **state)
{
    char text[4000];
    struct hosts hosts;
    struct address found[2 * HOSTS_ADDRESSES + 1];
    size_t used = 0;

    (void)state;
    for (unsigned i = 1; i <= HOSTS_ADDRESSES + 1; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "192.0.2.%u a\n2001:db8::%u a\n",
                                 i, i);
    assert_int_equal(hosts_init(&hosts, span_of(text, used), NULL), ERROR_NONE);
    assert_int_equal(hosts_find(&hosts, SPAN("a"), found, 2 * HOSTS_ADDRESSES + 1),
                     2 * HOSTS_ADDRESSES);
    assert_int_equal(hosts_find(&hosts, SPAN("a"), found, 5), 5);
    assert_int_equal(hosts_find(&hosts, SPAN("a"), found, 0), 0);
    assert_null(strstr(find(&hosts, "a"), "192.0.2.17"));
    hosts_done(&hosts);
}

static void hosts_have_limits(void **state)
{
    const size_t line = sizeof "0.0.0.0 n0000000.example\n" - 1;
    char *text = malloc((HOSTS_LINES + 1) * line + 1);
    struct hosts hosts;
    struct error error;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i <= HOSTS_LINES; i++)
        snprintf(text + i * line, line + 1, "0.0.0.0 n%07zu.example\n", i);
    assert_int_equal(hosts_init(&hosts, span_of(text, HOSTS_LINES * line), &error), ERROR_NONE);
    assert_string_equal(find(&hosts, "n0999999.example"), "0.0.0.0");
    assert_string_equal(find(&hosts, "n1000000.example"), "");
    hosts_done(&hosts);
    assert_int_equal(hosts_init(&hosts, span_of(text, (HOSTS_LINES + 1) * line), &error),
                     ERROR_LIMIT);
    assert_string_equal(error.text, "hosts has more than 1000000 lines");
    free(text);

    text = malloc(HOSTS_BYTES + 1);
    memset(text, ' ', HOSTS_BYTES + 1);
    assert_int_equal(hosts_init(&hosts, span_of(text, HOSTS_BYTES), &error), ERROR_NONE);
    hosts_done(&hosts);
    assert_int_equal(hosts_init(&hosts, span_of(text, HOSTS_BYTES + 1), &error), ERROR_LIMIT);
    assert_string_equal(error.text, "hosts has more than 67108864 bytes");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confs_say_what_they_say),
        cmocka_unit_test(scopes_get_numbers),
        cmocka_unit_test(confs_have_limits),
        cmocka_unit_test(names_fold_within_their_limits),
        cmocka_unit_test(hosts_say_what_they_say),
        cmocka_unit_test(hosts_keep_sixteen_addresses_of_each_family),
        cmocka_unit_test(hosts_have_limits),
    };
    return cmocka_run_group_tests_name("resolve_files", tests, NULL, NULL);
}
