/*
 * rule.h - one line of a filter list, taken apart.
 *
 * Both dialects, uBlock Origin's and AdGuard's, and what EasyList, hosts files and plain domain
 * lists write. Nothing is looked up, allocated or copied: spans point into the line. Whether a
 * list may do what the line asks (trust) is for the caller. Cosmetic lines are recognised and
 * kept as text and kind; another room reads them.
 *
 *      @@ || ads.example/banner*.gif | $ script,third-party,domain=a.example|~b.a.example
 *      |  |  |                       |   |
 *      |  |  pattern                 |   options
 *      |  anchor                     right anchor
 *      exception
 */
#ifndef DEJUNK_FILTER_RULE_H
#define DEJUNK_FILTER_RULE_H

#include "filter/request.h"

#define RULE_LINE_LIMIT 65536u // a longer line is not supported

enum rule_kind {
    RULE_NOTHING,      // empty, or a comment
    RULE_PREPROCESSOR, // "!#if" and the like
    RULE_NETWORK,
    RULE_HOSTS, // a line of a hosts file: names in `pattern`, see rule_next_host()
    RULE_COSMETIC,
    RULE_IDLE, // well understood, and nothing that a proxy could act on; see `reason`
    RULE_BAD,  // not understood or wrong; see `reason`
};

/* Why a line is idle or bad; the words for it are rule_reason_text(). */
enum rule_reason {
    REASON_NONE,
    // idle
    REASON_POPUP, // `popup` and nothing else: a matter of windows
    REASON_STEALTH,
    REASON_WEBRTC,
    REASON_EXTENSION, // rules about the blocker in the browser: extension, app, content ...
    REASON_NOTHING,   // matches nothing by its own words
    REASON_UNTRUSTED, // needs a trusted list
    REASON_SCRIPTLET, // waits for an engine inside of the page
    REASON_PART,      // in force, but for a name in it: see compiler_add()
    // bad
    REASON_OPTION,   // an option that is not known
    REASON_VALUE,    // an option without the value it needs, or with a wrong one
    REASON_CONFLICT, // options that exclude each other
    REASON_REGEX,    // a regular expression that does not compile
    REASON_PATTERN,  // a pattern that is empty, too general or impossible
    REASON_HOST,     // not a host name
    REASON_TOO_LONG,
    REASON_COSMETIC, // element hiding that is not well-formed
    REASON_PREPROCESSOR,
    REASON_INCLUDE,  // "!#include" of what cannot be read
    REASON_NOT_TEXT, // control bytes
    RULE_REASONS
};
const char *rule_reason_text(enum rule_reason reason);
bool rule_reason_is_idle(enum rule_reason reason);

enum rule_cosmetic {
    COSMETIC_HIDE,      // ##  selector; procedural operators and :style(), :remove() too
    COSMETIC_EXTENDED,  // #?# selector with procedural operators
    COSMETIC_STYLE,     // #$# and #$?#
    COSMETIC_HTML,      // ##^ and $$
    COSMETIC_HEADER,    // ##^responseheader(name)
    COSMETIC_SCRIPTLET, // ##+js(...) and #%#//scriptlet(...)
    COSMETIC_SCRIPT,    // #%# with a script
};

/* What a network rule does other than stopping a request. The order is that of
 * enum directive_kind where there is one. */
enum rule_modifier {
    MODIFIER_REMOVEPARAM,
    MODIFIER_URLSKIP,
    MODIFIER_URITRANSFORM,
    MODIFIER_REPLACE,
    MODIFIER_CSP,
    MODIFIER_PERMISSIONS,
    MODIFIER_REFERRERPOLICY,
    MODIFIER_REMOVEHEADER,
    MODIFIER_COOKIE,
    MODIFIER_JSONPRUNE,
    MODIFIER_XMLPRUNE,
    MODIFIER_INLINE_SCRIPT,
    MODIFIER_INLINE_FONT,
    MODIFIER_NONE,          // it stops requests
    MODIFIER_REDIRECT,      // it stops them and names a stub
    MODIFIER_REDIRECT_RULE, // it names a stub for what is stopped by others
    MODIFIER_PAGE,          // an exception for a page as a whole and nothing else: page_flags
};

enum rule_anchor { ANCHOR_NONE, ANCHOR_START, ANCHOR_HOST };

enum rule_party { // bits; 0: both
    RULE_FIRST = 1,
    RULE_THIRD = 2,
    RULE_STRICT_FIRST = 4, // same host
    RULE_STRICT_THIRD = 8, // other host
};

struct rule {
    enum rule_kind kind;
    enum rule_reason reason;
    struct span text; // the line, trimmed

    // RULE_NETWORK
    bool is_exception, is_important, is_badfilter;
    bool is_regex; // `pattern` is what stands between the slashes
    bool is_match_case;
    bool is_cname;
    bool needs_trust;
    enum rule_anchor anchor;
    bool is_right_anchored;
    bool is_host;        // `pattern` is a whole host name, as in "||host^": the '^' is cut off
    struct span pattern; // without anchors; not lower-cased; empty: everything
    struct span options; // all behind the '$'
    uint16_t types;      // bits of enum request_type
    bool has_types;      // types were written, not taken by default
    uint8_t party;
    uint16_t methods;                   // bits of enum rule_method; 0: any
    struct span domains, to, denyallow; // lists divided by '|'; .at is NULL: not there
    struct span client, address, header, request_header;
    enum rule_modifier modifier;
    struct span value;   // of the modifier; empty with an exception: of all values
    unsigned page_flags; // exceptions: bits of enum page_flag

    // RULE_COSMETIC
    enum rule_cosmetic cosmetic;
    struct span hosts; // in front of the separator
    struct span body;  // behind it
};

enum rule_method {
    RULE_CONNECT,
    RULE_DELETE,
    RULE_GET,
    RULE_HEAD,
    RULE_OPTIONS,
    RULE_PATCH,
    RULE_POST,
    RULE_PUT,
    RULE_TRACE,
    RULE_METHODS
};
/* The bit of a method by its name, without case; 0 for one that no rule can name. */
uint16_t rule_method_bit(struct span name);

/* Takes `line` (no line end in it) apart; `rule` is filled in completely. */
void rule_parse(struct rule *rule, struct span line);

/* Cuts the next name off `pattern` of a RULE_HOSTS. If there is any, one of them at least is a
 * host. Names of the machine itself ("localhost" and the like) are passed over. False at the end.
 */
bool rule_next_host(struct span *names, struct span *name);

/* A plausible host name: labels of letters, digits, '-', '_' or bytes above 127, and a dot. */
bool rule_is_host(struct span text);

/* Cuts the next item off a list of names divided by '|', where a regular expression between
 * slashes may have '|' in it as "\|". A '~' in front is taken off into *is_negated. False at the
 * end. Empty items are passed over. */
bool rule_next_name(struct span *list, struct span *name, bool *is_negated);
/* The same for what stands in front of a cosmetic rule's separator, divided by commas; "*" is
 * passed over. */
bool rule_next_cosmetic_host(struct span *hosts, struct span *name, bool *is_negated);

#endif
