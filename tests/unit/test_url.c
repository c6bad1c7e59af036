/* URLs folded and cut: rows, and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/url.h"

static struct url_text room;
static struct url_host_text host_room;

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10

static const struct {
    const char *name, *url;
    bool is_url;
    const char *text, *host, *path; // folded; from the path on
    uint16_t port;
} urls[] = {
    { "plain", "http://ads.example/x", true, "http://ads.example/x", "ads.example", "/x", 80 },
    { "capitals", "HTTPS://Ads.Example/X?Y#Z", true, "https://ads.example/x?y#z", "ads.example",
      "/x?y#z", 443 },
    { "port", "http://ads.example:8080/", true, "http://ads.example:8080/", "ads.example", "/",
      8080 },
    { "highest port", "http://a:65535", true, "http://a:65535", "a", "", 65535 },
    { "no port has such a number", "http://a:65536/", true, "http://a:65536/", "a", "/", 0 },
    { "empty port", "http://a:/x", true, "http://a:/x", "a", "/x", 80 },
    { "user", "http://me@ads.example/", true, "http://ads.example/", "ads.example", "/", 80 },
    { "user and password", "http://a:b@c:d@ads.example:1/", true, "http://ads.example:1/",
      "ads.example", "/", 1 },
    { "'@' in the path", "http://a/b@c", true, "http://a/b@c", "a", "/b@c", 80 },
    { "':' in the path", "http://a/b:1", true, "http://a/b:1", "a", "/b:1", 80 },
    { "no path", "http://ads.example", true, "http://ads.example", "ads.example", "", 80 },
    { "query without path", "http://a?b", true, "http://a?b", "a", "?b", 80 },
    { "fragment without path", "http://a#b", true, "http://a#b", "a", "#b", 80 },
    { "a dot at the end", "http://a.example./x", true, "http://a.example./x", "a.example", "/x",
      80 },
    { "a dot and a port", "http://a.example.:81/x", true, "http://a.example.:81/x", "a.example",
      "/x", 81 },
    { "IPv4", "http://127.0.0.1:80/", true, "http://127.0.0.1:80/", "127.0.0.1", "/", 80 },
    { "IPv6", "http://[::1]:81/", true, "http://[::1]:81/", "[::1]", "/", 81 },
    { "IPv6 without a port", "http://[fe80::1]/", true, "http://[fe80::1]/", "[fe80::1]", "/", 80 },
    { "underscore", "http://a_b.example/", true, "http://a_b.example/", "a_b.example", "/", 80 },
    { "not ASCII", "http://b\xc3\xbc.example/\xc3\x9c", true, "http://xn--b-eha.example/\xc3\x9c",
      "xn--b-eha.example", "/\xc3\x9c", 80 },
    { "not ASCII, a capital, with a user and a port", "http://me@B\xc3\x9c.Example.:81/x", true,
      "http://xn--b-eha.example.:81/x", "xn--b-eha.example", "/x", 81 },
    { "a full stop of another script",
      "http://a\xe3\x80\x82"
      "example/",
      true, "http://a.example/", "a.example", "/", 80 },
    { "no name of any script", "http://b\xff.example/x", true, "http://b\xff.example/x",
      "b\xff.example", "/x", 80 },
    { "websocket", "ws://a/", true, "ws://a/", "a", "/", 80 },
    { "websocket over TLS", "WSS://a/", true, "wss://a/", "a", "/", 443 },
    { "another scheme", "ftp://a/", true, "ftp://a/", "a", "/", 0 },
    { "odd scheme", "x-y+z.1://a/", true, "x-y+z.1://a/", "a", "/", 0 },
    { "32 bytes of scheme", A10 A10 A10 "aa://h/", true, A10 A10 A10 "aa://h/", "h", "/", 0 },
    { "33 bytes of scheme", A10 A10 A10 "aaa://h/", false, NULL, NULL, NULL, 0 },
    { "a host of 60 bytes", "http://" A60 "/", true, "http://" A60 "/", A60, "/", 80 },
    { "a host beyond 64 bytes", "http://" A60 "." A60 ".x:7/", true, "http://" A60 "." A60 ".x:7/",
      A60 "." A60 ".x", "/", 7 },
    { "empty", "", false, NULL, NULL, NULL, 0 },
    { "no host", "http://", false, NULL, NULL, NULL, 0 },
    { "no host, a path", "http:///x", false, NULL, NULL, NULL, 0 },
    { "no host, a port", "http://:80/", false, NULL, NULL, NULL, 0 },
    { "no host, a user", "http://me@/", false, NULL, NULL, NULL, 0 },
    { "only a dot", "http://./", false, NULL, NULL, NULL, 0 },
    { "no scheme", "://a/", false, NULL, NULL, NULL, 0 },
    { "one slash", "http:/a/", false, NULL, NULL, NULL, 0 },
    { "a path", "/x", false, NULL, NULL, NULL, 0 },
    { "a host", "ads.example", false, NULL, NULL, NULL, 0 },
};

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static void check_marks(const char *name, const struct url *url)
{
    for (uint32_t i = 0; i < url->size; i++) {
        bool is_start = is_alnum(url->at[i]) && (i == 0 || !is_alnum(url->at[i - 1]));
        if ((url->starts[i / 64] >> i % 64 & 1) != is_start)
            fail_msg("%s: start at %u", name, i);
    }
    for (uint32_t i = 0; i < url->name_end - url->host_at && i < 64; i++)
        if ((url->dots >> i & 1) != (url->at[url->host_at + i] == '.'))
            fail_msg("%s: dot at %u", name, i);
}

static void cuts_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct url url;
        bool is_url = url_parse(&url, &room, span_text(urls[i].url));

        if (is_url != urls[i].is_url)
            fail_msg("%s: got %d", urls[i].name, is_url);
        if (!is_url)
            continue;
        if (!span_equal(span_of(url.at, url.size), span_text(urls[i].text)))
            fail_msg("%s: text %.*s", urls[i].name, (int)url.size, url.at);
        if (!span_equal(url_host(&url), span_text(urls[i].host)))
            fail_msg("%s: host %.*s", urls[i].name, SPAN_PRINT(url_host(&url)));
        if (!span_equal(span_of(url.at + url_path_at(&url), url.size - url_path_at(&url)),
                        span_text(urls[i].path)))
            fail_msg("%s: path at %u", urls[i].name, url_path_at(&url));
        if (url_port(&url) != urls[i].port)
            fail_msg("%s: port %u", urls[i].name, url_port(&url));
        if (url.left_out != (int)strlen(urls[i].url) - (int)strlen(urls[i].text))
            fail_msg("%s: left out %d", urls[i].name, url.left_out);
        check_marks(urls[i].name, &url);
    }
}

/* A host of exactly so many bytes, in labels of 59. */
static struct span long_host_url(char *to, size_t host_bytes)
{
    size_t size = 7;

    memcpy(to, "http://", 7);
    for (size_t i = 0; i < host_bytes; i++)
        to[size++] = i % 60 == 59 ? '.' : 'a';
    to[size++] = '/';
    return span_of(to, size);
}

static void limits_of_hosts(void **state)
{
    static const struct {
        const char *name;
        size_t bytes;
        bool is_url;
    } rows[] = {
        { "below", URL_HOST_LIMIT - 1, true },
        { "at the limit", URL_HOST_LIMIT, true },
        { "one more", URL_HOST_LIMIT + 1, false },
        { "far more", 5000, false },
    };
    char text[6000];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span url_text = long_host_url(text, rows[i].bytes);
        struct url_name name;
        struct url url;

        if (url_parse(&url, &room, url_text) != rows[i].is_url)
            fail_msg("%s", rows[i].name);
        url_parse_host(&name, &host_room, url_text);
        if (name.size != (rows[i].is_url ? rows[i].bytes : 0))
            fail_msg("%s: host of %u bytes", rows[i].name, name.size);
        if (url_find_host(url_text).size != name.size)
            fail_msg("%s: found %zu", rows[i].name, url_find_host(url_text).size);
    }
}

static void limits_of_urls(void **state)
{
    static const size_t sizes[] = {
        63, 64, 65, 127, 128, 129, URL_LIMIT - 1, URL_LIMIT, URL_LIMIT + 1, 2 * URL_LIMIT
    };
    static char text[2 * URL_LIMIT];

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct url url;
        size_t size = sizes[i];

        for (size_t k = 0; k < size; k++)
            text[k] = k % 7 ? 'X' : '/';
        memcpy(text, "http://a.b/", 11);
        assert_true(url_parse(&url, &room, span_of(text, size)));
        assert_int_equal(url.size, size > URL_LIMIT ? URL_LIMIT : size);
        check_marks("long", &url);
        for (unsigned k = 0; k < URL_BEHIND; k++)
            assert_int_equal(url.at[url.size + k], 0);
    }
}

static void finds_hosts(void **state)
{
    static const struct {
        const char *text, *host;
    } rows[] = {
        { "http://Ads.Example:80/x", "Ads.Example" },
        { "ads.example", "ads.example" },
        { "ads.example:80", "ads.example" },
        { "ads.example/x", "ads.example" },
        { "ads.example.", "ads.example" },
        { "", "" },
        { "http://", "" },
        { "http:///", "" },
        { "[::1]:80", "[::1]" },
        { "https://me@[::1]/", "[::1]" },
        { "http://a.example.:80/", "a.example" },
        { "localhost", "localhost" },
        { "http://" A60 A10 ".x/", A60 A10 ".x" },
        { "me:pw@a.example", "a.example" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span found = url_find_host(span_text(rows[i].text));
        struct url_name name;

        if (!span_equal(found, span_text(rows[i].host)))
            fail_msg("%s: %.*s", rows[i].text, SPAN_PRINT(found));
        url_parse_host(&name, &host_room, span_text(rows[i].text));
        if (!span_equal_nocase(span_of(name.at, name.size), found))
            fail_msg("%s: parsed %.*s", rows[i].text, (int)name.size, name.at);
    }
}

static void tells_addresses(void **state)
{
    static const struct {
        const char *text;
        bool is_address;
    } rows[] = {
        { "127.0.0.1", true },
        { "255.255.255.255", true },
        { "1.2.3", false },
        { "1.2.3.4.5", false },
        { "a.b.c.1", false },
        { "[::1]", true },
        { "::1", false },
        { "[::1", false },
        { "", false },
        { "1.example", false },
        { "1111.1111.1111.1", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (url_host_is_address(span_text(rows[i].text)) != rows[i].is_address)
            fail_msg("%s", rows[i].text);
}

static void decodes(void **state)
{
    static const struct {
        const char *text, *decoded;
    } rows[] = {
        { "", "" },       { "abc", "abc" },         { "a%20b", "a b" }, { "%41%4a%4A", "AJJ" },
        { "%", "%" },     { "%4", "%4" },           { "%4g", "%4g" },   { "%%41", "%A" },
        { "a+b", "a+b" }, { "%c3%bc", "\xc3\xbc" }, { "%2525", "%25" },
    };
    char to[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = url_decode(span_text(rows[i].text), to);
        if (!span_equal(span_of(to, size), span_text(rows[i].decoded)))
            fail_msg("%s: %.*s", rows[i].text, (int)size, to);
        memcpy(to, rows[i].text, strlen(rows[i].text)); // in place
        size = url_decode(span_of(to, strlen(rows[i].text)), to);
        if (!span_equal(span_of(to, size), span_text(rows[i].decoded)))
            fail_msg("%s, in place: %.*s", rows[i].text, (int)size, to);
    }
}

/* A host that grows pushes what is behind URL_LIMIT out. */
static void hosts_that_grow(void **state)
{
    static char text[URL_LIMIT];
    static const char start[] = "http://b\xc3\xbc.example/";
    struct url url;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, start, sizeof start - 1);
    for (size_t size = URL_LIMIT - 9; size <= URL_LIMIT; size++) { // xn--b-eha: six bytes more
        assert_true(url_parse(&url, &room, span_of(text, size)));
        assert_int_equal(url.size, size + 6 > URL_LIMIT ? URL_LIMIT : size + 6);
        assert_int_equal(url.left_out, -6);
        assert_int_equal(url.at[url.size], 0);
        check_marks("long", &url);
    }
}

static void names_in_ascii(void **state)
{
    static const struct {
        const char *host, *ascii; // RFC 3492 and others; NULL: none
        size_t limit;
    } rows[] = {
        { "b\xc3\xbc"
          "cher.example",
          "xn--bcher-kva.example", 255 },
        { "\xe4\xbe\x8b.\xe4\xbe\x8b", "xn--fsq.xn--fsq", 255 },
        { "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80", "xn--e1afmkfd", 255 },
        { "plain.example", "plain.example", 255 },
        { "b\xc3\xbc"
          "cher.example",
          NULL, 20 },
        { A60 "\xc3\xbc.x", NULL, 255 }, // a label has at most 63 bytes
        { "aaaa.example", "aaaa.example", 13 },
        { "aaaa.example", NULL, 12 },
        { "\xff.example", NULL, 255 },
        { "\xc3", NULL, 255 },
    };
    struct url_name name;
    char to[256];

    (void)state;
    url_parse_host(&name, &host_room, SPAN("B\xc3\x9c.example:81"));
    assert_true(span_equal(span_of(name.at, name.size), SPAN("xn--b-eha.example")));
    assert_int_equal(name.dots, 1 << 9);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = url_host_to_ascii(span_text(rows[i].host), to, rows[i].limit);
        if (!span_equal(span_of(to, size), span_text(rows[i].ascii)))
            fail_msg("row %zu: %.*s", i, (int)size, to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_urls),       cmocka_unit_test(limits_of_hosts),
        cmocka_unit_test(limits_of_urls),  cmocka_unit_test(finds_hosts),
        cmocka_unit_test(tells_addresses), cmocka_unit_test(decodes),
        cmocka_unit_test(names_in_ascii),  cmocka_unit_test(hosts_that_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
