#include "proxy/pages.h"

enum { BODY_LIMIT_BYTES = 160 * 1024 };

static const struct {
    unsigned status;
    struct span proxy_status;
} answers[ERROR_KINDS] = {
    [ERROR_NONE] = { 500, { "proxy_internal_error", 20 } },
    [ERROR_SYSTEM] = { 503, { "proxy_internal_error", 20 } },
    [ERROR_ADDRESS] = { 502, { "destination_ip_unroutable", 25 } },
    [ERROR_SYNTAX] = { 502, { "http_protocol_error", 19 } },
    [ERROR_LIMIT] = { 502, { "http_response_header_section_size", 33 } },
    [ERROR_REFUSED] = { 502, { "connection_refused", 18 } },
    [ERROR_TIMEOUT] = { 504, { "connection_timeout", 18 } },
    [ERROR_LOST] = { 502, { "http_response_incomplete", 24 } },
    [ERROR_NO_HOST] = { 502, { "dns_error", 9 } },
    [ERROR_FORBIDDEN] = { 403, { "destination_ip_prohibited", 25 } },
    [ERROR_UNSUPPORTED] = { 502, { "http_protocol_error", 19 } },
    [ERROR_CONFIG] = { 500, { "proxy_configuration_error", 25 } },
    [ERROR_CORRUPT] = { 502, { "http_response_content_coding", 28 } },
    [ERROR_TLS] = { 502, { "tls_protocol_error", 18 } },
};

unsigned page_status_of(enum error_kind kind)
{
    return answers[kind].status;
}

struct span page_proxy_status_of(enum error_kind kind)
{
    return answers[kind].proxy_status;
}

bool page_append_escaped(struct buffer *out, struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        struct span piece = span_of(&text.at[i], 1);

        if (c == '&')
            piece = SPAN("&amp;");
        else if (c == '<')
            piece = SPAN("&lt;");
        else if (c == '>')
            piece = SPAN("&gt;");
        else if (c == '"')
            piece = SPAN("&quot;");
        else if (c == '\'')
            piece = SPAN("&#39;");
        else if (c < 0x20 || c == 0x7f)
            piece = SPAN("?");
        if (!buffer_append(out, piece))
            return false;
    }
    return true;
}

static bool write_body(struct buffer *body, const struct page *page, struct span title)
{
    return buffer_printf(body,
                         "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                         "<meta name=\"viewport\" content=\"width=device-width\">"
                         "<title>%u ",
                         page->status) &&
           page_append_escaped(body, title) &&
           buffer_append(
               body, SPAN("</title>\n"
                          "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:38em;"
                          "margin:15vh auto;padding:0 1em;color:#222;background:#fff}"
                          "h1{font-size:1.3em}p.by{color:#888;font-size:.85em}"
                          "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}"
                          "</style></head>\n<body><h1>")) &&
           page_append_escaped(body, title) && buffer_append(body, SPAN("</h1>\n<p>")) &&
           page_append_escaped(body, page->text) && buffer_append(body, SPAN("</p>\n")) &&
           buffer_append(body, page->html) &&
           buffer_append(body, SPAN("<p class=\"by\">dejunk</p></body></html>\n"));
}

bool page_write(struct buffer *out, const struct page *page)
{
    struct buffer own = { .limit_bytes = BODY_LIMIT_BYTES };
    struct span title = page->title.at ? page->title : span_text(status_phrase(page->status));
    struct span type = SPAN("text/html; charset=utf-8"), body = page->body;
    bool ok = true;

    if (page->content_type.at) {
        type = page->content_type;
    } else {
        ok = write_body(&own, page, title);
        body = buffer_span(&own);
    }
    ok = ok && buffer_printf(out, "HTTP/1.%d %u %s\r\n", page->http10 ? 0 : 1, page->status,
                             status_phrase(page->status));
    if (ok && type.size)
        ok = buffer_printf(out, "Content-Type: %.*s\r\n", SPAN_PRINT(type));
    ok = ok && buffer_printf(out,
                             "Content-Length: %zu\r\n"
                             "Cache-Control: no-store\r\n"
                             "X-Content-Type-Options: nosniff\r\n",
                             body.size);
    if (ok && !page->content_type.at)
        ok = buffer_append(out, SPAN("Content-Security-Policy: default-src 'none'; "
                                     "style-src 'unsafe-inline'\r\n"));
    if (ok && page->proxy_status.at)
        ok = buffer_printf(out, "Proxy-Status: dejunk; error=%.*s\r\n",
                           SPAN_PRINT(page->proxy_status));
    if (ok && page->extra.at)
        ok = buffer_append(out, page->extra);
    if (ok && page->close)
        ok = buffer_append(out, SPAN("Connection: close\r\n"));
    else if (ok && page->http10)
        ok = buffer_append(out, SPAN("Connection: keep-alive\r\n"));
    ok = ok && buffer_append(out, SPAN("\r\n"));
    if (ok && page->answers != METHOD_HEAD)
        ok = buffer_append(out, body);
    buffer_release(&own);
    return ok;
}
