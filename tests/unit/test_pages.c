/* Pages: a status for each kind of error, a whole response, nothing of a peer's unescaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "proxy/pages.h"

static void every_error_has_a_status(void **state)
{
    static const struct {
        enum error_kind kind;
        unsigned status;
    } rows[] = {
        { ERROR_SYSTEM, 503 }, { ERROR_ADDRESS, 502 }, { ERROR_SYNTAX, 502 },
        { ERROR_LIMIT, 502 },  { ERROR_REFUSED, 502 }, { ERROR_TIMEOUT, 504 },
        { ERROR_LOST, 502 },   { ERROR_NO_HOST, 502 }, { ERROR_FORBIDDEN, 403 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(page_status_of(rows[i].kind), rows[i].status);
    for (int kind = 0; kind < ERROR_KINDS; kind++) {
        assert_in_range(page_status_of((enum error_kind)kind), 400, 599);
        assert_true(page_proxy_status_of((enum error_kind)kind).size > 0);
    }
}

static bool has(const struct buffer *out, const char *text)
{
    return span_find(buffer_span(out), span_text(text)) < out->size;
}

static void check_length(const struct buffer *out, bool has_body)
{
    struct span whole = buffer_span(out);
    size_t head = span_find(whole, SPAN("\r\n\r\n")) + 4,
           at = span_find(whole, SPAN("Content-Length: "));
    uint64_t length;
    struct span number = span_from(whole, at + 16);

    number.size = span_find(number, SPAN("\r\n"));
    assert_true(span_to_u64(number, &length));
    assert_int_equal(out->size - head, has_body ? length : 0);
}

static const struct {
    const char *name;
    struct page page;
    const char *has[3], *has_not[3];
    bool has_body;
} rows[] = {
    { "a page",
      { .status = 502, .text = { "no <b>\"'&\x01", 10 }, .answers = METHOD_GET },
      { "HTTP/1.1 502 Bad Gateway\r\n", "no &lt;b&gt;&quot;&#39;&amp;?", "no-store" },
      { "Connection:", "<b>" },
      true },
    { "for HEAD",
      { .status = 404, .answers = METHOD_HEAD },
      { "HTTP/1.1 404 " },
      { "<html" },
      false },
    { "that closes",
      { .status = 400, .close = true, .answers = METHOD_GET },
      { "Connection: close\r\n" },
      { NULL },
      true },
    { "for HTTP/1.0",
      { .status = 400, .http10 = true, .close = true, .answers = METHOD_GET },
      { "HTTP/1.0 400 ", "Connection: close\r\n" },
      { NULL },
      true },
    { "with more",
      { .status = 407,
        .extra = { "A: b\r\n", 6 },
        .answers = METHOD_GET,
        .proxy_status = { "dns_error", 9 },
        .title = { "T<", 2 } },
      { "\r\nA: b\r\n", "Proxy-Status: dejunk; error=dns_error\r\n", "T&lt;" },
      { "T<" },
      true },
    { "as it is",
      { .status = 200,
        .content_type = { "image/gif", 9 },
        .body = { "G<F", 3 },
        .answers = METHOD_GET },
      { "Content-Type: image/gif\r\n", "\r\n\r\nG<F", "Content-Length: 3\r\n" },
      { "html", "Content-Security-Policy" },
      true },
    { "empty",
      { .status = 403, .content_type = { "", 0 }, .answers = METHOD_GET },
      { "Content-Length: 0\r\n" },
      { "Content-Type:", "html" },
      true },
};

static void writes_whole_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer out = { .limit_bytes = 1 << 16 };

        assert_true(page_write(&out, &rows[i].page));
        for (int j = 0; j < 3; j++) {
            if (rows[i].has[j] && !has(&out, rows[i].has[j]))
                fail_msg("%s: no \"%s\" in %.*s", rows[i].name, rows[i].has[j],
                         SPAN_PRINT(buffer_span(&out)));
            if (rows[i].has_not[j] && has(&out, rows[i].has_not[j]))
                fail_msg("%s: \"%s\" in %.*s", rows[i].name, rows[i].has_not[j],
                         SPAN_PRINT(buffer_span(&out)));
        }
        check_length(&out, rows[i].has_body);
        buffer_release(&out);
    }
}

static void says_when_there_is_no_room(void **state)
{
    struct buffer out = { .limit_bytes = 200 };
    struct page page = { .status = 502, .answers = METHOD_GET };

    (void)state;
    assert_false(page_write(&out, &page));
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(writes_whole_responses),
        cmocka_unit_test(says_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
