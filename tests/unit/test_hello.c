/* The first bytes of a tunnel: rows of hellos, whole, byte by byte and cut at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "trust/hello.h"

/* A hello is written as a text of pieces: "16 03 01" are bytes, "(2 ... )" puts the length of
 * what is inside before it, in so many bytes, "'text'" is text. */
struct writer {
    unsigned char at[200000];
    size_t size;
    size_t open[16], width[16], depth;
};

static void write_pieces(struct writer *writer, const char *text)
{
    for (const char *c = text; *c;) {
        if (*c == ' ') {
            c++;
        } else if (*c == '(') {
            writer->width[writer->depth] = (size_t)(c[1] - '0');
            writer->open[writer->depth++] = writer->size;
            for (int i = 0; i < c[1] - '0'; i++)
                writer->at[writer->size++] = 0;
            c += 2;
        } else if (*c == ')') {
            size_t start = writer->open[--writer->depth], width = writer->width[writer->depth];
            size_t size = writer->size - start - width;
            for (size_t i = 0; i < width; i++)
                writer->at[start + i] = (unsigned char)(size >> 8 * (width - 1 - i));
            c++;
        } else if (*c == '\'') {
            for (c++; *c != '\''; c++)
                writer->at[writer->size++] = (unsigned char)*c;
            c++;
        } else {
            char digits[3] = { c[0], c[1], 0 };
            writer->at[writer->size++] = (unsigned char)strtoul(digits, NULL, 16);
            c += 2;
        }
    }
}

#define RANDOM "00000000000000000000000000000000 00000000000000000000000000000000"
#define START "(3 0303" RANDOM "(1)"
#define CIPHERS "(2 1301 1302 c02b c02f)"
#define NAME(text) "0000 (2(2 00 (2 " text ")))"
#define PLAIN "(1 00)"
#define VERSIONS "002b (2(1 0304 0303))"
#define ALPN "0010 (2(2 (1 'h2') (1 'http/1.1')))"
#define SIGNATURES "000d (2(2 0403 0804))"
#define GROUPS "000a (2(2 001d 0017))"

static const struct {
    const char *name;
    const char *record; // from the record header on
    enum hello_progress want;
    enum error_kind kind;
    const char *server_name;
} cases[] = {
    { "a plain one",
      "160301 (2 01" START CIPHERS PLAIN "(2" NAME("'www.Example.ORG'") VERSIONS "))"
                                                                                 ")",
      HELLO_WHOLE, ERROR_NONE, "www.example.org" },
    { "last dot", "160301 (2 01" START CIPHERS PLAIN "(2" NAME("'a.example.'") ")))", HELLO_WHOLE,
      ERROR_NONE, "a.example" },
    { "no extensions", "160301 (2 01" START CIPHERS PLAIN "))", HELLO_WHOLE, ERROR_NONE, "" },
    { "empty extensions", "160301 (2 01" START CIPHERS PLAIN "(2)))", HELLO_WHOLE, ERROR_NONE, "" },
    { "underscore", "160301 (2 01" START CIPHERS PLAIN "(2" NAME("'a_b.example'") ")))",
      HELLO_WHOLE, ERROR_NONE, "a_b.example" },
    { "bytes behind in a record of their own",
      "160301 (2 01" START CIPHERS PLAIN "))"
      "140303 000101",
      HELLO_WHOLE, ERROR_NONE, "" },
    { "NUL in the name", "160301 (2 01" START CIPHERS PLAIN "(2" NAME("'a' 00 'b'") ")))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "newline in the name", "160301 (2 01" START CIPHERS PLAIN "(2" NAME("'a' 0a 'b'") ")))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "empty name", "160301 (2 01" START CIPHERS PLAIN "(2" NAME("") ")))", HELLO_BROKEN,
      ERROR_SYNTAX, "" },
    { "two names", "160301 (2 01" START CIPHERS PLAIN "(2 0000 (2(2 00(2'a') 00(2'b'))) )))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "unknown kind of name", "160301 (2 01" START CIPHERS PLAIN "(2 0000 (2(2 01(2'a'))) )))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "an extension twice", "160301 (2 01" START CIPHERS PLAIN "(2" ALPN GROUPS ALPN ")))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "an empty protocol", "160301 (2 01" START CIPHERS PLAIN "(2 0010 (2(2 (1))) )))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "odd groups", "160301 (2 01" START CIPHERS PLAIN "(2 000a (2(2 001d00)) )))", HELLO_BROKEN,
      ERROR_SYNTAX, "" },
    { "odd ciphers", "160301 (2 01" START "(2 130113)" PLAIN "))", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "no ciphers", "160301 (2 01" START "(2)" PLAIN "))", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "session of 33 bytes", "160301 (2 01 (3 0303" RANDOM "(1" RANDOM "00)" CIPHERS PLAIN "))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "SSL 2 inside", "160301 (2 01 (3 0202" RANDOM "(1)" CIPHERS PLAIN "))", HELLO_BROKEN,
      ERROR_SYNTAX, "" },
    { "extension longer than its list", "160301 (2 01" START CIPHERS PLAIN "(2 1234 ffff)))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "extensions longer than the message", "160301 (2 01" START CIPHERS PLAIN "ffff 0000))",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "bytes behind the extensions", "160301 (2 01" START CIPHERS PLAIN "(2) 00))", HELLO_BROKEN,
      ERROR_SYNTAX, "" },
    { "message cut short by its own length", "160301 (2 01 000002 0303)", HELLO_BROKEN,
      ERROR_SYNTAX, "" },
    { "bytes behind the hello in its record", "160301 (2 01" START CIPHERS PLAIN ") 00)",
      HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "a server's hello", "160303 (2 02" START CIPHERS PLAIN "))", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "an alert", "150301 0002 0228", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "not TLS at all", "'SSH-2.0-OpenSSH'", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "an empty record", "160301 0000", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "a record of 16385 bytes", "160301 4001", HELLO_BROKEN, ERROR_SYNTAX, "" },
    { "a message of 16 MB", "160301 0004 01 ffffff", HELLO_BROKEN, ERROR_LIMIT, "" },
    { "cut in the header", "160301", HELLO_MORE, ERROR_NONE, "" },
    { "cut in the message", "160301 00f0 01 0000ec 0303", HELLO_MORE, ERROR_NONE, "" },
};

/* Cuts the one record in `whole` into records of `size` bytes each. */
static void cut_records(struct writer *to, const struct writer *whole, size_t size)
{
    to->size = 0;
    for (size_t at = 5; at < whole->size; at += size) {
        size_t now = whole->size - at < size ? whole->size - at : size;
        unsigned char header[] = { 22, 3, 1, (unsigned char)(now >> 8), (unsigned char)now };

        memcpy(to->at + to->size, header, 5);
        memcpy(to->at + to->size + 5, whole->at + at, now);
        to->size += 5 + now;
    }
}

/* step 0: cut at random. */
static enum hello_progress feed(struct hello_collector *collector, const struct writer *writer,
                                size_t step, struct error *error)
{
    enum hello_progress progress = HELLO_MORE;
    unsigned seed = (unsigned)writer->size;

    hello_collector_init(collector);
    for (size_t at = 0; at < writer->size;) {
        size_t size = step ? step : 1 + (size_t)rand_r(&seed) % 40;

        if (size > writer->size - at)
            size = writer->size - at;
        progress = hello_feed(collector, span_of((const char *)writer->at + at, size),
                              progress == HELLO_BROKEN ? NULL : error);
        at += size;
    }
    return progress;
}

static void reads_hellos_however_they_are_cut(void **state)
{
    static struct writer whole, cut;
    static const size_t steps[] = { SIZE_MAX, 1, 0 };
    static const size_t records[] = { 0, 1, 7 };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t r = 0; r < 3; r++) {
            struct writer *bytes = &whole;

            whole.size = whole.depth = 0;
            write_pieces(&whole, cases[i].record);
            if (r > 0) { // only what ends with its record can be cut into others
                if (cases[i].want != HELLO_WHOLE ||
                    whole.at[3] * 256u + whole.at[4] + 5u != whole.size)
                    continue;
                cut_records(&cut, &whole, records[r]);
                bytes = &cut;
            }
            for (size_t s = 0; s < 3; s++) {
                struct hello_collector collector;
                struct error error = { 0 };
                enum hello_progress got = feed(&collector, bytes, steps[s], &error);

                if (got != cases[i].want || error.kind != cases[i].kind ||
                    strcmp(collector.hello.server_name, cases[i].server_name) != 0)
                    fail_msg("%s: got %d, %s, \"%s\"", cases[i].name, got, error.text,
                             collector.hello.server_name);
                assert_int_equal(collector.kept.size, bytes->size);
                assert_memory_equal(collector.kept.at, bytes->at, bytes->size);
                hello_collector_done(&collector);
            }
        }
    }
}

static void knows_the_first_bytes(void **state)
{
    static const struct {
        const char *bytes;
        enum hello_kind want;
    } rows[] = {
        { "", HELLO_KIND_MORE },
        { "\x16", HELLO_KIND_TLS },
        { "\x16\x03\x01", HELLO_KIND_TLS },
        { "\x17", HELLO_KIND_OTHER },
        { "\x80\x2e\x01", HELLO_KIND_OTHER },
        { "G", HELLO_KIND_MORE },
        { "GET", HELLO_KIND_MORE },
        { "GET ", HELLO_KIND_HTTP },
        { "GET / HTTP/1.1", HELLO_KIND_HTTP },
        { "GETT", HELLO_KIND_OTHER },
        { "get /", HELLO_KIND_OTHER },
        { "S", HELLO_KIND_MORE },
        { "SSH-2.0-x", HELLO_KIND_OTHER },
        { "SEARCH /", HELLO_KIND_HTTP },
        { "EHLO me", HELLO_KIND_OTHER },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", HELLO_KIND_MORE },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HELLO_KIND_HTTP },
        { "\r\nGET", HELLO_KIND_OTHER },
        { "\x13"
          "BitTorrent",
          HELLO_KIND_OTHER },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hello_classify(span_text(rows[i].bytes)) != rows[i].want)
            fail_msg("\"%s\": got %d", rows[i].bytes, hello_classify(span_text(rows[i].bytes)));
}

static struct hello read_one(const char *text, struct hello_collector *collector)
{
    static struct writer writer;
    struct error error;

    writer.size = writer.depth = 0;
    write_pieces(&writer, text);
    if (feed(collector, &writer, SIZE_MAX, &error) != HELLO_WHOLE)
        fail_msg("%s: %s", text, error.text);
    return collector->hello;
}

#define HELLO(ciphers, extensions) "160301 (2 01" START "(2" ciphers ")" PLAIN "(2" extensions ")))"
#define PROGRAM "1301 1302 c02b"
#define REST SIGNATURES GROUPS VERSIONS "ff01 (2 00)"

static void one_program_is_one_family(void **state)
{
    static const struct {
        const char *name, *record;
        bool same;
    } rows[] = {
        { "another host", HELLO(PROGRAM, NAME("'b.example'") REST ALPN), true },
        { "no host", HELLO(PROGRAM, REST ALPN), true },
        { "another order of extensions",
          HELLO(PROGRAM, ALPN "ff01 (2 00)" VERSIONS GROUPS SIGNATURES NAME("'a.example'")), true },
        { "GREASE everywhere",
          HELLO("3a3a" PROGRAM,
                "fafa (2)" NAME("'a.example'") ALPN "000d (2(2 0403 0804)) 000a (2(2 1a1a 001d "
                                                    "0017)) 002b (2(1 2a2a 0304 0303)) ff01 (2 00)"
                                                    "0a0a (2 00)"),
          true },
        { "padded and resumed",
          HELLO(PROGRAM, NAME("'a.example'") REST ALPN "0015 (2 000000)"
                                                       "0029 (2 00)"),
          true },
        { "other protocols", HELLO(PROGRAM, NAME("'a.example'") REST "0010 (2(2 (1 'http/1.1')))"),
          true },
        { "other ciphers", HELLO("1301 1302", NAME("'a.example'") REST ALPN), false },
        { "ciphers in another order", HELLO("1302 1301 c02b", NAME("'a.example'") REST ALPN),
          false },
        { "one extension more", HELLO(PROGRAM, NAME("'a.example'") REST ALPN "0017 (2)"), false },
        { "other signatures",
          HELLO(PROGRAM,
                NAME("'a.example'") "000d (2(2 0804 0403))" GROUPS VERSIONS "ff01 (2 00)" ALPN),
          false },
        { "TLS 1.2 only",
          HELLO(PROGRAM, NAME("'a.example'") SIGNATURES GROUPS "002b (2(1 0303)) ff01 (2 00)" ALPN),
          false },
    };
    struct hello_collector first, other;
    struct hello base = read_one(HELLO(PROGRAM, NAME("'a.example'") REST ALPN), &first);
    (void)state;

    assert_true(base.family != 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello hello = read_one(rows[i].record, &other);

        if ((hello.family == base.family) != rows[i].same)
            fail_msg("%s: %s family", rows[i].name, rows[i].same ? "another" : "the same");
        hello_collector_done(&other);
    }
    assert_true(hello_offers(&base, SPAN("h2")));
    assert_true(hello_offers(&base, SPAN("http/1.1")));
    assert_false(hello_offers(&base, SPAN("http/1.0")));
    assert_int_equal(base.version, 0x0304);
    assert_false(base.has_ech);
    assert_false(base.has_session);
    hello_collector_done(&first);
    base = read_one(HELLO(PROGRAM, "fe0d (2 00) 0023 (2 00)"), &first);
    assert_true(base.has_ech && base.has_session);
    hello_collector_done(&first);
}

/* A hello of `total` bytes with its records, the last `extra` of them behind it. */
static void padded(struct writer *writer, size_t total)
{
    static struct writer one;
    size_t records = (total + 16388) / 16389, message = total - 5 * records, padding;

    one.size = one.depth = 0;
    write_pieces(&one, "160301 0000 01 000000 0303" RANDOM "00" CIPHERS PLAIN "0000 1234 0000");
    padding = message - (one.size - 5);
    memset(one.at + one.size, 0, padding);
    one.at[one.size - 1] = (unsigned char)padding;
    one.at[one.size - 2] = (unsigned char)(padding >> 8);
    one.at[one.size - 5] = (unsigned char)(padding + 4);
    one.at[one.size - 6] = (unsigned char)((padding + 4) >> 8);
    one.at[7] = (unsigned char)((message - 4) >> 8);
    one.at[8] = (unsigned char)(message - 4);
    one.size += padding;
    cut_records(writer, &one, 16384);
}

static void a_hello_ends_at_the_limit(void **state)
{
    static struct writer writer;
    struct hello_collector collector;
    struct error error = { 0 };
    (void)state;

    padded(&writer, HELLO_LIMIT_BYTES);
    assert_int_equal(writer.size, HELLO_LIMIT_BYTES);
    assert_int_equal(feed(&collector, &writer, 1000, &error), HELLO_WHOLE);
    assert_int_equal(hello_room(&collector), 0);
    hello_collector_done(&collector);

    padded(&writer, HELLO_LIMIT_BYTES + 1);
    hello_collector_init(&collector);
    assert_int_equal(
        hello_feed(&collector, span_of((char *)writer.at, HELLO_LIMIT_BYTES - 1), &error),
        HELLO_MORE);
    assert_int_equal(hello_room(&collector), 1);
    assert_int_equal(
        hello_feed(&collector, span_of((char *)writer.at + HELLO_LIMIT_BYTES - 1, 1), &error),
        HELLO_BROKEN);
    assert_int_equal(error.kind, ERROR_LIMIT);
    assert_int_equal(hello_feed(&collector, SPAN("x"), &error), HELLO_BROKEN);
    hello_collector_done(&collector);
}

static void extensions_end_at_their_limit(void **state)
{
    (void)state;
    for (int count = HELLO_EXTENSIONS; count <= HELLO_EXTENSIONS + 1; count++) {
        static struct writer writer;
        struct hello_collector collector;
        struct error error = { 0 };
        char extension[32];

        writer.size = writer.depth = 0;
        write_pieces(&writer, "160301 (2 01" START CIPHERS PLAIN "(2");
        for (int i = 0; i < count; i++) {
            snprintf(extension, sizeof extension, "%04x (2)", 0x4000 + i);
            write_pieces(&writer, extension);
        }
        write_pieces(&writer, ")))");
        assert_int_equal(feed(&collector, &writer, 0, &error),
                         count > HELLO_EXTENSIONS ? HELLO_BROKEN : HELLO_WHOLE);
        assert_int_equal(error.kind, count > HELLO_EXTENSIONS ? ERROR_LIMIT : ERROR_NONE);
        hello_collector_done(&collector);
    }
}

static void reads_what_a_library_sends(void **state)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    static const unsigned char protocols[] = "\2h2\10http/1.1";
    uint64_t family = 0;
    (void)state;

    for (int i = 0; i < 2; i++) {
        SSL *ssl = SSL_new(context);
        BIO *out = BIO_new(BIO_s_mem());
        struct hello_collector collector;
        char *bytes;
        long size;

        SSL_set_tlsext_host_name(ssl, (i ? "other.example" : "www.example"));
        SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        SSL_connect(ssl);
        size = BIO_get_mem_data(out, &bytes);
        hello_collector_init(&collector);
        assert_int_equal(hello_feed(&collector, span_of(bytes, (size_t)size), NULL), HELLO_WHOLE);
        assert_string_equal(collector.hello.server_name, i ? "other.example" : "www.example");
        assert_int_equal(collector.hello.version, 0x0304);
        assert_true(hello_offers(&collector.hello, SPAN("h2")));
        assert_true(collector.hello.groups.size > 0 && collector.hello.signatures.size > 0);
        assert_true(i == 0 || family == collector.hello.family);
        family = collector.hello.family;
        hello_collector_done(&collector);
        SSL_free(ssl);
    }
    SSL_CTX_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_hellos_however_they_are_cut),
        cmocka_unit_test(knows_the_first_bytes),
        cmocka_unit_test(one_program_is_one_family),
        cmocka_unit_test(a_hello_ends_at_the_limit),
        cmocka_unit_test(extensions_end_at_their_limit),
        cmocka_unit_test(reads_what_a_library_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
