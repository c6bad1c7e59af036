/* Addresses: what parses, how it prints, what class it has, which ranges have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "io/address.h"

#define EACH(row, table)                                                                           \
    size_t row = 0;                                                                                \
    row < sizeof table / sizeof *table;                                                            \
    row++

static const struct {
    const char *text, *want; // NULL: no address
} hosts[] = {
    { "127.0.0.1", "127.0.0.1" },
    { "0.0.0.0", "0.0.0.0" },
    { "255.255.255.255", "255.255.255.255" },
    { "256.0.0.1", NULL },
    { "1.2.3", NULL },
    { "1.2.3.4.5", NULL },
    { "1.2.3.4.", NULL },
    { ".1.2.3.4", NULL },
    { "01.2.3.4", NULL },
    { "0x7f.0.0.1", NULL },
    { "0.9.10.99", "0.9.10.99" },
    { "100.109.200.255", "100.109.200.255" },
    { "0177.0.0.1", NULL },
    { "2130706433", NULL },
    { "127.1", NULL },
    { " 127.0.0.1", NULL },
    { "127.0.0.1 ", NULL },
    { "127.0.0.+1", NULL },
    { "[127.0.0.1]", NULL },
    { "::", "::" },
    { "::1", "::1" },
    { "[::1]", "::1" },
    { "2001:DB8::A", "2001:db8::a" },
    { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
    { "1:2:3:4:5:6:7", NULL },
    { "1:2:3:4:5:6:7:8:9", NULL },
    { "1::2::3", NULL },
    { ":1::2", NULL },
    { "12345::", NULL },
    { "::g", NULL },
    { "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
    { "::ffff:1.2.3", NULL },
    { "::ffff:1.2.3.04", NULL },
    { "fe80::1%eth0", NULL },
    { "fe80::1%1", NULL },
    { "[::1", NULL },
    { "::1]", NULL },
    { "[]", NULL },
    { "", NULL },
    { "localhost", NULL },
    { "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" }, // the longest
    { "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", NULL },
};

static void hosts_parse_strictly(void **state)
{
    (void)state;
    for (EACH(i, hosts)) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];
        bool got = address_parse(&address, span_text(hosts[i].text), 80);

        if (got != (hosts[i].want != NULL) ||
            (got && strcmp(address_text(&address, text), hosts[i].want) != 0))
            fail_msg("%s: %s", hosts[i].text, got ? text : "refused");
        if (got)
            assert_int_equal(address_port(&address), 80);
    }
    struct address address;
    assert_false(address_parse(&address, SPAN("127.0.0.1\0"), 80));
    assert_false(address_parse(&address, SPAN("\0::1"), 80));
}

static const struct {
    const char *text, *want;
} with_ports[] = {
    { "127.0.0.1:8119", "127.0.0.1:8119" },
    { "127.0.0.1:0", "127.0.0.1:0" },
    { "127.0.0.1:65535", "127.0.0.1:65535" },
    { "127.0.0.1:65536", NULL },
    { "127.0.0.1:000080", NULL },
    { "127.0.0.1:", NULL },
    { "127.0.0.1", NULL },
    { "127.0.0.1:80:80", NULL },
    { "127.0.0.1:-1", NULL },
    { "127.0.0.1: 80", NULL },
    { ":80", NULL },
    { "[::1]:8119", "[::1]:8119" },
    { "[::1]", NULL },
    { "[::1]8119", NULL },
    { "[::1]:", NULL },
    { "::1:8119", NULL },
    { "[127.0.0.1]:80", NULL },
    { "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
    { "", NULL },
};

static void ports_parse_strictly(void **state)
{
    (void)state;
    for (EACH(i, with_ports)) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];
        bool got = address_parse_with_port(&address, span_text(with_ports[i].text));

        if (got != (with_ports[i].want != NULL) ||
            (got && strcmp(address_text_with_port(&address, text), with_ports[i].want) != 0))
            fail_msg("%s: %s", with_ports[i].text, got ? text : "refused");
    }
}

static const struct {
    const char *text;
    enum address_class want;
} classes[] = {
    { "0.0.0.0", ADDRESS_UNSPECIFIED },
    { "0.255.255.255", ADDRESS_UNSPECIFIED },
    { "1.0.0.0", ADDRESS_PUBLIC },
    { "9.255.255.255", ADDRESS_PUBLIC },
    { "10.0.0.0", ADDRESS_PRIVATE },
    { "10.255.255.255", ADDRESS_PRIVATE },
    { "11.0.0.0", ADDRESS_PUBLIC },
    { "100.63.255.255", ADDRESS_PUBLIC },
    { "100.64.0.0", ADDRESS_PRIVATE },
    { "100.127.255.255", ADDRESS_PRIVATE },
    { "100.128.0.0", ADDRESS_PUBLIC },
    { "126.255.255.255", ADDRESS_PUBLIC },
    { "127.0.0.0", ADDRESS_LOOPBACK },
    { "127.255.255.255", ADDRESS_LOOPBACK },
    { "128.0.0.0", ADDRESS_PUBLIC },
    { "169.253.255.255", ADDRESS_PUBLIC },
    { "169.254.0.0", ADDRESS_LINK_LOCAL },
    { "169.254.169.254", ADDRESS_LINK_LOCAL },
    { "169.254.255.255", ADDRESS_LINK_LOCAL },
    { "169.255.0.0", ADDRESS_PUBLIC },
    { "172.15.255.255", ADDRESS_PUBLIC },
    { "172.16.0.0", ADDRESS_PRIVATE },
    { "172.31.255.255", ADDRESS_PRIVATE },
    { "172.32.0.0", ADDRESS_PUBLIC },
    { "191.255.255.255", ADDRESS_PUBLIC },
    { "192.0.0.0", ADDRESS_RESERVED },
    { "192.0.0.255", ADDRESS_RESERVED },
    { "192.0.1.0", ADDRESS_PUBLIC },
    { "192.0.2.0", ADDRESS_RESERVED },
    { "192.0.2.255", ADDRESS_RESERVED },
    { "192.0.3.0", ADDRESS_PUBLIC },
    { "192.88.98.255", ADDRESS_PUBLIC },
    { "192.88.99.0", ADDRESS_RESERVED },
    { "192.88.100.0", ADDRESS_PUBLIC },
    { "192.167.255.255", ADDRESS_PUBLIC },
    { "192.168.0.0", ADDRESS_PRIVATE },
    { "192.168.255.255", ADDRESS_PRIVATE },
    { "192.169.0.0", ADDRESS_PUBLIC },
    { "198.17.255.255", ADDRESS_PUBLIC },
    { "198.18.0.0", ADDRESS_RESERVED },
    { "198.19.255.255", ADDRESS_RESERVED },
    { "198.20.0.0", ADDRESS_PUBLIC },
    { "198.51.99.255", ADDRESS_PUBLIC },
    { "198.51.100.0", ADDRESS_RESERVED },
    { "198.51.101.0", ADDRESS_PUBLIC },
    { "203.0.112.255", ADDRESS_PUBLIC },
    { "203.0.113.0", ADDRESS_RESERVED },
    { "203.0.114.0", ADDRESS_PUBLIC },
    { "223.255.255.255", ADDRESS_PUBLIC },
    { "224.0.0.0", ADDRESS_MULTICAST },
    { "239.255.255.255", ADDRESS_MULTICAST },
    { "240.0.0.0", ADDRESS_RESERVED },
    { "255.255.255.254", ADDRESS_RESERVED },
    { "255.255.255.255", ADDRESS_MULTICAST },

    { "::", ADDRESS_UNSPECIFIED },
    { "::1", ADDRESS_LOOPBACK },
    { "::2", ADDRESS_RESERVED },
    { "::127.0.0.1", ADDRESS_RESERVED }, // IPv4-compatible, RFC 4291 section 2.5.5.1
    { "::fffe:ffff:ffff", ADDRESS_RESERVED },
    { "::ffff:0:0", ADDRESS_UNSPECIFIED },
    { "::ffff:127.0.0.1", ADDRESS_LOOPBACK },
    { "::ffff:8.8.8.8", ADDRESS_PUBLIC },
    { "::ffff:169.254.169.254", ADDRESS_LINK_LOCAL },
    { "::ffff:0:127.0.0.1", ADDRESS_RESERVED }, // translated, RFC 2765
    { "64:ff9b::127.0.0.1", ADDRESS_LOOPBACK },
    { "64:ff9b::10.1.2.3", ADDRESS_PRIVATE },
    { "64:ff9b::8.8.8.8", ADDRESS_PUBLIC },
    { "64:ff9b::1:0:0", ADDRESS_RESERVED },
    { "64:ff9b:1::127.0.0.1", ADDRESS_LOOPBACK },
    { "64:ff9b:1::8.8.8.8", ADDRESS_PUBLIC },
    { "64:ff9b:1:7f00:0:100::", ADDRESS_LOOPBACK },      // 127.0.0.1 at /48
    { "64:ff9b:1:a9fe:a9:fe00::", ADDRESS_LINK_LOCAL },  // 169.254.169.254 at /48
    { "64:ff9b:1:ab0a:1:200::", ADDRESS_PRIVATE },       // 10.0.1.2 at /56
    { "64:ff9b:1:abcd:c0:a801:200:0", ADDRESS_PRIVATE }, // 192.168.1.2 at /64
    { "64:ff9b:1:808:8:800::", ADDRESS_PUBLIC },         // 8.8.8.8 at /48
    { "64:ff9b:1:abcd:1:200:7f00:1", ADDRESS_LOOPBACK }, // 127.0.0.1 at /96
    { "64:ff9b:1:abcd:8:808:a00:0", ADDRESS_PRIVATE },   // 8.8.8.10 at /64, 10.0.0.0 at /96
    { "64:ff9b:2::8.8.8.8", ADDRESS_RESERVED },
    { "100::", ADDRESS_RESERVED },
    { "100:0:0:1::", ADDRESS_RESERVED },
    { "1fff:ffff::", ADDRESS_RESERVED },
    { "2000::", ADDRESS_PUBLIC },
    { "2000:ffff::", ADDRESS_PUBLIC },
    { "2001::", ADDRESS_RESERVED },
    { "2001:4:112::1", ADDRESS_PUBLIC },
    { "2001:1ff:ffff::", ADDRESS_RESERVED },
    { "2001:200::", ADDRESS_PUBLIC },
    { "2001:db7:ffff::", ADDRESS_PUBLIC },
    { "2001:db8::", ADDRESS_RESERVED },
    { "2001:db8:ffff::", ADDRESS_RESERVED },
    { "2001:db9::", ADDRESS_PUBLIC },
    { "2001:4860:4860::8888", ADDRESS_PUBLIC },
    { "2002:7f00:1::", ADDRESS_LOOPBACK },
    { "2002:a00:1::1", ADDRESS_PRIVATE },
    { "2002:808:808::1", ADDRESS_PUBLIC },
    { "2003::", ADDRESS_PUBLIC },
    { "2a00::1", ADDRESS_PUBLIC },
    { "3ffe:ffff::", ADDRESS_PUBLIC },
    { "3fff::", ADDRESS_RESERVED },
    { "3fff:fff:ffff::", ADDRESS_RESERVED },
    { "3fff:1000::", ADDRESS_PUBLIC },
    { "4000::", ADDRESS_RESERVED },
    { "5f00::1", ADDRESS_RESERVED },
    { "fbff:ffff::", ADDRESS_RESERVED },
    { "fc00::", ADDRESS_PRIVATE },
    { "fdff:ffff::", ADDRESS_PRIVATE },
    { "fe00::", ADDRESS_RESERVED },
    { "fe7f:ffff::", ADDRESS_RESERVED },
    { "fe80::", ADDRESS_LINK_LOCAL },
    { "febf:ffff::", ADDRESS_LINK_LOCAL },
    { "fec0::", ADDRESS_PRIVATE },
    { "feff:ffff::", ADDRESS_PRIVATE },
    { "ff00::", ADDRESS_MULTICAST },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_MULTICAST },
};

static void classes_have_their_edges(void **state)
{
    (void)state;
    for (EACH(i, classes)) {
        struct address address;
        enum address_class got;

        if (!address_parse(&address, span_text(classes[i].text), 0))
            fail_msg("%s: no address", classes[i].text);
        got = address_classify(&address);
        if (got != classes[i].want)
            fail_msg("%s: %s, not %s", classes[i].text, address_class_name(got),
                     address_class_name(classes[i].want));
    }
}

static const struct {
    const char *wrapped, *want;
} wrapped[] = {
    { "10.1.2.3", "10.1.2.3:443" },
    { "::ffff:10.1.2.3", "10.1.2.3:443" },
    { "64:ff9b::a01:203", "10.1.2.3:443" },
    { "64:ff9b:1::a01:203", "10.1.2.3:443" },
    { "2002:a01:203::1", "10.1.2.3:443" },
    { "2001:db8::1", "[2001:db8::1]:443" },
    { "::1", "[::1]:443" },
};

static void wrapped_addresses_come_out(void **state)
{
    (void)state;
    for (EACH(i, wrapped)) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];

        assert_true(address_parse(&address, span_text(wrapped[i].wrapped), 443));
        address = address_unwrap(&address);
        if (strcmp(address_text_with_port(&address, text), wrapped[i].want) != 0)
            fail_msg("%s: %s", wrapped[i].wrapped, text);
    }
}

static const struct {
    const char *range, *address;
    bool want;
} ranges[] = {
    { "10.0.0.0/8", "10.255.255.255:1", true },
    { "10.0.0.0/8", "11.0.0.0:1", false },
    { "10.9.9.9/8", "10.0.0.1:1", true },
    { "10.0.0.0/9", "10.127.255.255:1", true },
    { "10.0.0.0/9", "10.128.0.0:1", false },
    { "0.0.0.0/0", "255.1.2.3:65535", true },
    { "0.0.0.0/0", "[2001:db8::1]:1", false },
    { "::/0", "[2001:db8::1]:1", true },
    { "::/0", "1.2.3.4:1", false },
    { "::/0", "[::ffff:1.2.3.4]:1", false },
    { "1.2.3.4", "1.2.3.4:0", true },
    { "1.2.3.4/32", "1.2.3.5:80", false },
    { "1.2.3.4:80", "1.2.3.4:80", true },
    { "1.2.3.4:80", "1.2.3.4:81", false },
    { "1.2.3.4:80-82", "1.2.3.4:82", true },
    { "1.2.3.4:80-82", "1.2.3.4:83", false },
    { "1.2.3.4:80-82", "1.2.3.4:79", false },
    { "127.0.0.0/8:18080", "127.1.1.1:18080", true },
    { "127.0.0.0/8:18080", "127.1.1.1:18081", false },
    { "127.0.0.0/8:18080", "[::ffff:127.1.1.1]:18080", true },
    { "127.0.0.0/8:18080", "[64:ff9b::7f01:101]:18080", true },
    { "::1", "[::1]:7", true },
    { "::1", "[::2]:7", false },
    { "::1", "127.0.0.1:7", false },
    { "[::1]:80", "[::1]:80", true },
    { "[::1]:80", "[::1]:81", false },
    { "[fd00::]/8:443", "[fdff::1]:443", true },
    { "[fd00::]/8:443", "[fdff::1]:80", false },
    { "fd00::/8:1-65535", "[fd12::1]:80", true },
    { "2001:db8::/33", "[2001:db8:7fff::1]:80", true },
    { "2001:db8::/33", "[2001:db8:8000::1]:80", false },
    { "::ffff:10.0.0.0/104", "10.1.2.3:80", true },
    { "::ffff:10.0.0.0/104", "11.1.2.3:80", false },
    { "::ffff:10.0.0.1", "10.0.0.1:80", true },
    { "64:ff9b::10.0.0.0/104", "10.1.2.3:80", true },
    { "2002:a00::/24", "10.1.2.3:80", true },
    { "2002:a00::/24", "11.1.2.3:80", false },
};

static void ranges_have_what_they_say(void **state)
{
    (void)state;
    for (EACH(i, ranges)) {
        struct address_range range;
        struct address address;

        if (!address_range_parse(&range, span_text(ranges[i].range)))
            fail_msg("%s: no range", ranges[i].range);
        assert_true(address_parse_with_port(&address, span_text(ranges[i].address)));
        if (address_range_has(&range, &address) != ranges[i].want)
            fail_msg("%s has %s?", ranges[i].range, ranges[i].address);
    }
}

static void broken_ranges_are_refused(void **state)
{
    static const char *const broken[] = {
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/08888",
        "10.0.0.0/-1",
        "10.0.0.0/8:",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:9-8",
        "10.0.0.0/8:1-",
        "10.0.0.0/8:-1",
        "10.0.0.0/8:1-2-3",
        "10.0.0.0/8/8",
        "10.0.0.0:80/8",
        "10.0.0/8",
        "[10.0.0.0]/8",
        "[::1",
        "[::1]80",
        "example.com",
        "10.0.0.0/8 ",
        "*",
        "10.0.0.*",
    };
    (void)state;
    for (EACH(i, broken)) {
        struct address_range range;
        if (address_range_parse(&range, span_text(broken[i])))
            fail_msg("%s", broken[i]);
    }
}

static void addresses_compare_with_ports(void **state)
{
    static const struct {
        const char *a, *b;
        bool want;
    } pairs[] = {
        { "1.2.3.4:80", "1.2.3.4:80", true },
        { "1.2.3.4:80", "1.2.3.4:81", false },
        { "1.2.3.4:80", "1.2.3.5:80", false },
        { "[::1]:80", "[::1]:80", true },
        { "[::1]:80", "[::2]:80", false },
        { "[::1]:80", "[::1]:81", false },
        { "[::ffff:1.2.3.4]:80", "1.2.3.4:80", false },
    };
    (void)state;
    for (EACH(i, pairs)) {
        struct address a, b;
        assert_true(address_parse_with_port(&a, span_text(pairs[i].a)));
        assert_true(address_parse_with_port(&b, span_text(pairs[i].b)));
        if (address_equal(&a, &b) != pairs[i].want || address_equal(&b, &a) != pairs[i].want)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
}

static void other_families_are_no_address(void **state)
{
    struct address address = { .any = { .sa_family = AF_UNIX } };
    char text[ADDRESS_TEXT_BYTES];
    struct address_range range;

    (void)state;
    assert_int_equal(address_classify(&address), ADDRESS_RESERVED);
    assert_string_equal(address_text(&address, text), "unix");
    assert_string_equal(address_text_with_port(&address, text), "unix");
    assert_int_equal(address_port(&address), 0);
    assert_false(address_equal(&address, &address));
    assert_true(address_range_parse(&range, SPAN("::/0")));
    assert_false(address_range_has(&range, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_parse_strictly),
        cmocka_unit_test(ports_parse_strictly),
        cmocka_unit_test(classes_have_their_edges),
        cmocka_unit_test(wrapped_addresses_come_out),
        cmocka_unit_test(ranges_have_what_they_say),
        cmocka_unit_test(broken_ranges_are_refused),
        cmocka_unit_test(addresses_compare_with_ports),
        cmocka_unit_test(other_families_are_no_address),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
