/*
 * url.h - an absolute URL cut into its parts, in lower case, ready to be matched against rules.
 *
 * Knows nothing of rules or of HTTP. The caller owns a struct url_text, which holds the folded
 * copy with room before and behind it, so that vector loads around any byte of it stay inside:
 *
 *      NUL x URL_BEFORE | https://ads.example.com:8443/path?query#x | NUL x URL_BEHIND
 *                                 host            port
 *
 * and a bit mask that is made in the same pass: where runs of letters and digits start. User
 * information ("user:password@") is left out; a host with letters beyond ASCII stands there as its
 * A-labels, if it has such. Positions are offsets into the folded text. A URL
 * without "scheme://" (at most 32 bytes in front of "://"), with a host longer than URL_HOST_LIMIT
 * or an empty one is no URL here. What lies behind URL_LIMIT bytes is cut off.
 */
#ifndef DEJUNK_BASE_URL_H
#define DEJUNK_BASE_URL_H

#include "base/bytes.h"

#define URL_LIMIT 65536u    // bytes of a URL that are looked at
#define URL_HOST_LIMIT 255u // bytes of a host name
#define URL_LABELS 128u     // labels that fit into URL_HOST_LIMIT
#define URL_BEFORE 256u
#define URL_BEHIND 64u

struct url_text {
    char bytes[URL_BEFORE + URL_LIMIT + 2 * URL_BEHIND];
    uint64_t starts[URL_LIMIT / 64 + 1]; // bit i: a letter or digit behind something else
};

struct url {
    const char *at;         // folded text: ASCII letters in lower case, all else as it came
    const uint64_t *starts; // one word for every 64 bytes of the text
    uint32_t size;
    uint32_t host_at;  // behind "://"
    uint32_t host_end; // in front of ":port"; a dot at the end of the name is included
    uint32_t name_end; // without that dot
    int32_t left_out;  // bytes that it had more in front of the path: user information, and what
                       // the host was longer (below zero: shorter) in letters beyond ASCII
    uint64_t dots;     // bit i: byte i of the host is a dot; only the first 64 bytes
};

/* A host alone, folded like one in a URL. */
struct url_host_text {
    char bytes[32 + URL_HOST_LIMIT + 1 + 64]; // the host begins at 32 or a little behind it
};
struct url_name {
    const char *at;
    uint32_t size; // 0: there is none
    uint64_t dots; // as in struct url
};

/* Folds `text` into `room` and cuts it. `url` points into `room` from then on. False when it is
 * no absolute URL; *url is then not to be used. `room` must be zeroed before its first use. */
bool url_parse(struct url *url, struct url_text *room, struct span text);

/* What url_find_host() finds, in lower case, in `room`. */
void url_parse_host(struct url_name *name, struct url_host_text *room, struct span text);
/* url_parse() and url_parse_host() as this machine does them best, for who calls them often. */
struct url_parsers {
    bool (*parse)(struct url *url, struct url_text *room, struct span text);
    void (*parse_host)(struct url_name *name, struct url_host_text *room, struct span text);
};
struct url_parsers url_best_parsers(void);

/* The host, in lower case, without a dot at its end; "[::1]" with its brackets. */
static inline struct span url_host(const struct url *url)
{
    return span_of(url->at + url->host_at, url->name_end - url->host_at);
}

/* Where the path begins ('/', '?', '#'), or url->size. */
uint32_t url_path_at(const struct url *url);
/* The port that is written, or that of the scheme (http ws 80, https wss 443), or 0. */
uint16_t url_port(const struct url *url);

/* The host part of a URL, or all of the text when it is a bare host ("example.com",
 * "example.com:80"). Not lower-cased; a dot at its end is dropped. Empty when there is none or
 * when it is longer than URL_HOST_LIMIT. */
struct span url_find_host(struct span text);

/* Is it an IPv4 address in dotted form, or an IPv6 address in brackets? Spelling only. */
bool url_host_is_address(struct span host);

/* A host name with bytes above 127 as its A-labels (IDNA 2008; what that does not allow, by RFC
 * 3492 alone), into `to`. ASCII letters must be in lower case by now. Zero when it does not fit or
 * is no UTF-8; else its size. */
size_t url_host_to_ascii(struct span host, char *to, size_t limit);

/* Percent-decodes into `to`, which may be `text` itself; returns the size. Broken escapes are
 * kept as they are. */
size_t url_decode(struct span text, char *to);

#endif
