#include "filter/rule.h"

#include <stddef.h>

#include "base/url.h"

static const struct {
    const char *text;
    bool is_idle;
} reasons[RULE_REASONS] = {
    [REASON_NONE] = { "", false },
    [REASON_POPUP] = { "a proxy sees no pop-up windows", true },
    [REASON_STEALTH] = { "stealth mode is not a proxy's", true },
    [REASON_WEBRTC] = { "WebRTC does not pass a proxy", true },
    [REASON_EXTENSION] = { "about the blocker in a browser or an app", true },
    [REASON_NOTHING] = { "matches nothing by its own words", true },
    [REASON_SCRIPTLET] = { "a proxy runs no scripts in pages", true },
    [REASON_PART] = { "one of its names is no host; the rest is in force", true },
    [REASON_OPTION] = { "unknown option", false },
    [REASON_VALUE] = { "option with a missing or wrong value", false },
    [REASON_CONFLICT] = { "options that exclude each other", false },
    [REASON_REGEX] = { "regular expression that does not compile", false },
    [REASON_PATTERN] = { "pattern that is empty or too general", false },
    [REASON_HOST] = { "not a host name", false },
    [REASON_TOO_LONG] = { "too long", false },
    [REASON_COSMETIC] = { "element hiding that is not well-formed", false },
    [REASON_PREPROCESSOR] = { "unknown or unbalanced preprocessor line", false },
    [REASON_INCLUDE] = { "included file that is not there, or too much of it", false },
    [REASON_NOT_TEXT] = { "control bytes in the line", false },
    [REASON_UNTRUSTED] = { "needs a trusted list", true },
};

const char *rule_reason_text(enum rule_reason reason)
{
    return (unsigned)reason < RULE_REASONS ? reasons[reason].text : "";
}

bool rule_reason_is_idle(enum rule_reason reason)
{
    return (unsigned)reason < RULE_REASONS && reasons[reason].is_idle;
}

/* ---- names of options ---- */

enum option {
    OPTION_UNKNOWN,
    OPTION_TYPE, // enum request_type in `number`
    OPTION_ALL,
    OPTION_POPUP,
    OPTION_WEBRTC,
    OPTION_PARTY, // enum rule_party in `number`
    OPTION_TEXT,  // `number`: where in struct rule its value goes, a span
    OPTION_FLAG,  // `number`: where in struct rule the bool is that it sets
    OPTION_METHOD,
    OPTION_REASON,
    OPTION_IDLE,     // enum rule_reason in `number`
    OPTION_MODIFIER, // enum rule_modifier in `number`
    OPTION_EMPTY,
    OPTION_MP4,
    OPTION_REWRITE,
    OPTION_PAGE, // enum page_flag in `number`
};

enum { VALUE_NONE, VALUE_NEEDED, VALUE_MAY }; // may: exceptions and some others go without
enum { NEGATION = 4 };                        // "~name" is fine
enum { TRUST = 8 };

static const struct option_name {
    const char *name;
    uint8_t size, option, traits;
    uint16_t number;
} option_names[] = {
#define NAME(text) (text), sizeof(text) - 1
    { NAME("document"), OPTION_TYPE, NEGATION, TYPE_DOCUMENT },
    { NAME("doc"), OPTION_TYPE, NEGATION, TYPE_DOCUMENT },
    { NAME("main_frame"), OPTION_TYPE, NEGATION, TYPE_DOCUMENT },
    { NAME("subdocument"), OPTION_TYPE, NEGATION, TYPE_SUBDOCUMENT },
    { NAME("frame"), OPTION_TYPE, NEGATION, TYPE_SUBDOCUMENT },
    { NAME("sub_frame"), OPTION_TYPE, NEGATION, TYPE_SUBDOCUMENT },
    { NAME("script"), OPTION_TYPE, NEGATION, TYPE_SCRIPT },
    { NAME("stylesheet"), OPTION_TYPE, NEGATION, TYPE_STYLESHEET },
    { NAME("css"), OPTION_TYPE, NEGATION, TYPE_STYLESHEET },
    { NAME("image"), OPTION_TYPE, NEGATION, TYPE_IMAGE },
    { NAME("img"), OPTION_TYPE, NEGATION, TYPE_IMAGE },
    { NAME("background"), OPTION_TYPE, NEGATION, TYPE_IMAGE },
    { NAME("font"), OPTION_TYPE, NEGATION, TYPE_FONT },
    { NAME("media"), OPTION_TYPE, NEGATION, TYPE_MEDIA },
    { NAME("object"), OPTION_TYPE, NEGATION, TYPE_OBJECT },
    { NAME("object-subrequest"), OPTION_TYPE, NEGATION, TYPE_OBJECT },
    { NAME("xmlhttprequest"), OPTION_TYPE, NEGATION, TYPE_XHR },
    { NAME("xhr"), OPTION_TYPE, NEGATION, TYPE_XHR },
    { NAME("fetch"), OPTION_TYPE, NEGATION, TYPE_XHR },
    { NAME("websocket"), OPTION_TYPE, NEGATION, TYPE_WEBSOCKET },
    { NAME("ping"), OPTION_TYPE, NEGATION, TYPE_PING },
    { NAME("beacon"), OPTION_TYPE, NEGATION, TYPE_PING },
    { NAME("other"), OPTION_TYPE, NEGATION, TYPE_OTHER },
    { NAME("csp_report"), OPTION_TYPE, NEGATION, TYPE_OTHER },
    { NAME("cspreport"), OPTION_TYPE, NEGATION, TYPE_OTHER },
    { NAME("xbl"), OPTION_TYPE, NEGATION, TYPE_OTHER },
    { NAME("dtd"), OPTION_TYPE, NEGATION, TYPE_OTHER },
    { NAME("all"), OPTION_ALL, 0, 0 },
    { NAME("popup"), OPTION_POPUP, NEGATION, 0 },
    { NAME("popunder"), OPTION_POPUP, NEGATION, 0 },
    { NAME("webrtc"), OPTION_WEBRTC, NEGATION, 0 },
    { NAME("third-party"), OPTION_PARTY, NEGATION, RULE_THIRD },
    { NAME("3p"), OPTION_PARTY, NEGATION, RULE_THIRD },
    { NAME("first-party"), OPTION_PARTY, NEGATION, RULE_FIRST },
    { NAME("1p"), OPTION_PARTY, NEGATION, RULE_FIRST },
    { NAME("strict3p"), OPTION_PARTY, NEGATION, RULE_STRICT_THIRD },
    { NAME("strict-third-party"), OPTION_PARTY, NEGATION, RULE_STRICT_THIRD },
    { NAME("strict1p"), OPTION_PARTY, NEGATION, RULE_STRICT_FIRST },
    { NAME("strict-first-party"), OPTION_PARTY, NEGATION, RULE_STRICT_FIRST },
    { NAME("domain"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, domains) },
    { NAME("from"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, domains) },
    { NAME("to"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, to) },
    { NAME("denyallow"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, denyallow) },
    { NAME("method"), OPTION_METHOD, VALUE_NEEDED, 0 },
    { NAME("client"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, client) },
    { NAME("ipaddress"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, address) },
    { NAME("header"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, header) },
    { NAME("requestheader"), OPTION_TEXT, VALUE_NEEDED, offsetof(struct rule, request_header) },
    { NAME("match-case"), OPTION_FLAG, NEGATION, offsetof(struct rule, is_match_case) },
    { NAME("important"), OPTION_FLAG, 0, offsetof(struct rule, is_important) },
    { NAME("badfilter"), OPTION_FLAG, 0, offsetof(struct rule, is_badfilter) },
    { NAME("cname"), OPTION_FLAG, 0, offsetof(struct rule, is_cname) },
    { NAME("reason"), OPTION_REASON, VALUE_MAY, 0 },
    { NAME("stealth"), OPTION_IDLE, VALUE_MAY, REASON_STEALTH },
    { NAME("extension"), OPTION_IDLE, VALUE_MAY | NEGATION, REASON_EXTENSION },
    { NAME("app"), OPTION_IDLE, VALUE_MAY, REASON_EXTENSION },
    { NAME("content"), OPTION_IDLE, 0, REASON_EXTENSION },
    { NAME("redirect"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REDIRECT },
    { NAME("redirect-rule"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REDIRECT_RULE },
    { NAME("rewrite"), OPTION_REWRITE, VALUE_NEEDED, 0 },
    { NAME("empty"), OPTION_EMPTY, 0, 0 },
    { NAME("mp4"), OPTION_MP4, 0, 0 },
    { NAME("removeparam"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REMOVEPARAM },
    { NAME("queryprune"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REMOVEPARAM },
    { NAME("urlskip"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_URLSKIP },
    { NAME("uritransform"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_URITRANSFORM },
    { NAME("urltransform"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_URITRANSFORM },
    { NAME("replace"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_REPLACE },
    { NAME("csp"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_CSP },
    { NAME("permissions"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_PERMISSIONS },
    { NAME("referrerpolicy"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REFERRERPOLICY },
    { NAME("removeheader"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_REMOVEHEADER },
    { NAME("cookie"), OPTION_MODIFIER, VALUE_MAY, MODIFIER_COOKIE },
    { NAME("jsonprune"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_JSONPRUNE },
    { NAME("xmlprune"), OPTION_MODIFIER, VALUE_MAY | TRUST, MODIFIER_XMLPRUNE },
    { NAME("inline-script"), OPTION_MODIFIER, NEGATION, MODIFIER_INLINE_SCRIPT },
    { NAME("inline-font"), OPTION_MODIFIER, NEGATION, MODIFIER_INLINE_FONT },
    { NAME("elemhide"), OPTION_PAGE, NEGATION, PAGE_ELEMHIDE },
    { NAME("ehide"), OPTION_PAGE, NEGATION, PAGE_ELEMHIDE },
    { NAME("generichide"), OPTION_PAGE, NEGATION, PAGE_GENERICHIDE },
    { NAME("ghide"), OPTION_PAGE, NEGATION, PAGE_GENERICHIDE },
    { NAME("specifichide"), OPTION_PAGE, NEGATION, PAGE_SPECIFICHIDE },
    { NAME("shide"), OPTION_PAGE, NEGATION, PAGE_SPECIFICHIDE },
    { NAME("genericblock"), OPTION_PAGE, 0, PAGE_GENERICBLOCK },
    { NAME("urlblock"), OPTION_PAGE, 0, PAGE_URLBLOCK },
    { NAME("jsinject"), OPTION_PAGE, 0, PAGE_JSINJECT },
#undef NAME
};

static const char *const type_names[REQUEST_TYPES] = {
    [TYPE_DOCUMENT] = "document",  [TYPE_SUBDOCUMENT] = "subdocument",
    [TYPE_SCRIPT] = "script",      [TYPE_STYLESHEET] = "stylesheet",
    [TYPE_IMAGE] = "image",        [TYPE_FONT] = "font",
    [TYPE_MEDIA] = "media",        [TYPE_OBJECT] = "object",
    [TYPE_XHR] = "xmlhttprequest", [TYPE_WEBSOCKET] = "websocket",
    [TYPE_PING] = "ping",          [TYPE_OTHER] = "other",
};

const char *request_type_name(enum request_type type)
{
    return (unsigned)type < REQUEST_TYPES ? type_names[type] : NULL;
}

static const struct option_name *find_option(struct span name)
{
    for (size_t i = 0; i < sizeof option_names / sizeof *option_names; i++)
        if (option_names[i].size == name.size &&
            memcmp(option_names[i].name, name.at, name.size) == 0)
            return &option_names[i];
    return NULL;
}

bool request_type_of(struct span name, enum request_type *type)
{
    const struct option_name *found = find_option(name);

    if (!found || found->option != OPTION_TYPE)
        return false;
    *type = (enum request_type)found->number;
    return true;
}

static const char *const method_names[RULE_METHODS] = {
    [RULE_CONNECT] = "connect", [RULE_DELETE] = "delete",   [RULE_GET] = "get",
    [RULE_HEAD] = "head",       [RULE_OPTIONS] = "options", [RULE_PATCH] = "patch",
    [RULE_POST] = "post",       [RULE_PUT] = "put",         [RULE_TRACE] = "trace",
};

uint16_t rule_method_bit(struct span name)
{
    for (unsigned i = 0; i < RULE_METHODS; i++)
        if (span_equal_nocase(name, span_text(method_names[i])))
            return (uint16_t)(1u << i);
    return 0;
}

/* ---- small tools ---- */

static bool is_word(char c) // what option names are made of
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '~' ||
           (c >= 'A' && c <= 'Z');
}

static struct span trim(struct span line)
{
    while (line.size && ((uint8_t)line.at[0] <= ' '))
        line = span_from(line, 1);
    while (line.size && (uint8_t)line.at[line.size - 1] <= ' ')
        line.size--;
    return line;
}

static void bad(struct rule *rule, enum rule_reason reason)
{
    if (rule->kind == RULE_BAD)
        return;
    rule->kind = reasons[reason].is_idle ? RULE_IDLE : RULE_BAD;
    rule->reason = reason;
}

/* Where the regular expression that begins at text.at[start] (a slash) ends: the offset of its
 * closing slash, or 0. */
static size_t regex_end(struct span text, size_t start)
{
    bool in_class = false;

    for (size_t i = start + 1; i < text.size; i++) {
        char c = text.at[i];
        if (c == '\\')
            i++;
        else if (c == '[')
            in_class = true;
        else if (c == ']')
            in_class = false;
        else if (c == '/' && !in_class)
            return i;
    }
    if (in_class) // a lone '[': once more without classes
        for (size_t i = start + 1; i < text.size; i++) {
            if (text.at[i] == '\\')
                i++;
            else if (text.at[i] == '/')
                return i;
        }
    return 0;
}

/* Of the next divider that no backslash keeps, or list.size. */
static size_t find_divider(struct span list, char divider)
{
    size_t end = 0;

    while (end < list.size && list.at[end] != divider)
        end += list.at[end] == '\\' ? 2 : 1;
    return end < list.size ? end : list.size;
}

static bool next_name(struct span *list, struct span *name, bool *is_negated, char divider)
{
    while (list->size) {
        size_t end;

        *is_negated = list->at[0] == '~';
        if (*is_negated)
            *list = span_from(*list, 1);
        end = find_divider(*list, divider);
        if (list->size && list->at[0] == '/') {
            size_t close = regex_end(*list, 0);
            while (close && close + 1 < list->size && list->at[close + 1] >= 'a' &&
                   list->at[close + 1] <= 'z' && divider == ',')
                close++; // flags
            if (close && (close + 1 == list->size || list->at[close + 1] == divider))
                end = close + 1;
        }
        *name = trim(span_slice(*list, 0, end));
        *list = span_from(*list, end + (end < list->size));
        if (name->size)
            return true;
    }
    return false;
}

bool rule_next_name(struct span *list, struct span *name, bool *is_negated)
{
    return next_name(list, name, is_negated, '|');
}

bool rule_next_cosmetic_host(struct span *hosts, struct span *name, bool *is_negated)
{
    bool is_there;

    do { // "*" names nobody
        *hosts = trim(*hosts);
        is_there = next_name(hosts, name, is_negated, ',');
    } while (is_there && name->size == 1 && name->at[0] == '*');
    return is_there;
}

/* ---- hosts ---- */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || (uint8_t)c >= 128;
}

bool rule_is_host(struct span text)
{
    size_t label = 0;
    bool has_dot = false;

    if (text.size > URL_HOST_LIMIT)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            has_dot = true;
        } else if (is_host_byte(text.at[i])) {
            label++;
        } else {
            return false;
        }
    }
    return has_dot && label > 0;
}

/* "example.com", but not "banner.gif" or "ad.js": file names that look like hosts. */
static bool is_host_line(struct span text)
{
    static const char *const extensions[] = {
        "js",   "css",  "gif",   "png", "jpg",  "jpeg", "webp", "svg", "ico", "bmp", "php",  "asp",
        "aspx", "jsp",  "cgi",   "htm", "html", "xml",  "json", "txt", "swf", "flv", "mp3",  "mp4",
        "webm", "woff", "woff2", "ttf", "m3u8", "ts",   "wasm", "mjs", "min", "bin", "ashx", "vast",
    };
    struct span last = text;
    size_t at = text.size;

    if (!rule_is_host(text) || text.at[0] == '-' || text.at[0] == '_')
        return false;
    while (at > 0 && text.at[at - 1] != '.')
        at--;
    last = span_from(text, at);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (span_equal_nocase(last, span_text(extensions[i])))
            return false;
    if (url_host_is_address(text))
        return true;
    if (span_starts_nocase(last, SPAN("xn--")))
        return true;
    for (size_t i = 0; i < last.size; i++)
        if ((last.at[i] >= '0' && last.at[i] <= '9') || last.at[i] == '-' || last.at[i] == '_')
            return false;
    return last.size >= 2;
}

static bool is_machine_name(struct span name)
{
    static const char *const names[] = {
        "localhost",       "localhost.localdomain",
        "local",           "broadcasthost",
        "localdomain",     "localhost4",
        "localhost6",      "loopback",
        "0.0.0.0",         "127.0.0.1",
        "255.255.255.255",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_equal_nocase(name, span_text(names[i])))
            return true;
    return span_starts_nocase(name, SPAN("ip6-")) || span_find_byte(name, ':') < name.size;
}

static struct span next_word(struct span *text)
{
    struct span word;
    size_t size = 0;

    *text = trim(*text);
    while (size < text->size && (uint8_t)text->at[size] > ' ')
        size++;
    word = span_slice(*text, 0, size);
    *text = span_from(*text, size);
    return word;
}

bool rule_next_host(struct span *names, struct span *name)
{
    for (;;) {
        *name = next_word(names);
        if (name->size == 0 || name->at[0] == '#')
            return false;
        if (!is_machine_name(*name))
            return true;
    }
}

/* "0.0.0.0 ads.example # comment" */
static bool parse_hosts(struct rule *rule, struct span line)
{
    struct span rest = line, address = next_word(&rest), names, name;
    bool has_good = false, has_bad = false;

    if (address.size == 0 || rest.size == 0)
        return false;
    if (!url_host_is_address(address) && span_find_byte(address, ':') == address.size &&
        !span_equal(address, SPAN("0")))
        return false;
    for (size_t i = 0, zone = 0; i < address.size; i++) { // "fe80::1%lo0"
        char c = address.at[i];

        if (zone ? !is_host_byte(c) && c != '.'
                 : c != '%' && !memchr("0123456789abcdefABCDEF:.", c, 24))
            return false;
        zone |= c == '%';
    }
    names = rule->pattern = trim(rest);
    rule->kind = RULE_HOSTS;
    while (rule_next_host(&names, &name))
        *(rule_is_host(name) ? &has_good : &has_bad) = true;
    if (has_bad && !has_good)
        bad(rule, REASON_HOST);
    return true;
}

/* ---- cosmetic lines ---- */

/* Is it what may stand in front of "##": host names and their like, divided by commas? */
static bool is_host_list(struct span text)
{
    size_t i = 0;

    if (text.size && text.at[0] == '[') // AdGuard's modifiers: [$path=/x]host.example##...
        return text.size > 2 && text.at[1] == '$';
    while (i < text.size) {
        char c = text.at[i];
        if (c == '/' &&
            (i == 0 || text.at[i - 1] == ',' || text.at[i - 1] == '~' || text.at[i - 1] == ' ')) {
            size_t end = regex_end(text, i);
            if (end == 0 || (end + 1 < text.size && text.at[end + 1] != ','))
                return false;
            i = end;
        } else if (!is_host_byte(c) && !memchr(",~*.> :[]", c, 9)) {
            return false;
        }
        i++;
    }
    return true;
}

static const struct {
    const char *text;
    uint8_t size, kind;
    bool is_exception;
} separators[] = {
    // the longest first
    { "#@$?#", 5, COSMETIC_STYLE, true },   { "#@?#", 4, COSMETIC_EXTENDED, true },
    { "#@$#", 4, COSMETIC_STYLE, true },    { "#@%#", 4, COSMETIC_SCRIPT, true },
    { "#$?#", 4, COSMETIC_STYLE, false },   { "#@#", 3, COSMETIC_HIDE, true },
    { "#?#", 3, COSMETIC_EXTENDED, false }, { "#$#", 3, COSMETIC_STYLE, false },
    { "#%#", 3, COSMETIC_SCRIPT, false },   { "##", 2, COSMETIC_HIDE, false },
    { "$@$", 3, COSMETIC_HTML, true },      { "$$", 2, COSMETIC_HTML, false },
};

static bool parse_cosmetic(struct rule *rule, struct span line)
{
    for (size_t i = 0; i + 1 < line.size; i++) {
        char c = line.at[i];

        if (c != '#' && c != '$')
            continue;
        for (size_t k = 0; k < sizeof separators / sizeof *separators; k++) {
            struct span body;

            if (separators[k].text[0] != c ||
                !span_starts(span_from(line, i), span_of(separators[k].text, separators[k].size)))
                continue;
            if (!is_host_list(span_slice(line, 0, i)))
                return false; // the first separator counts
            if (c == '$' && i == 0)
                return false;
            body = trim(span_from(line, i + separators[k].size));
            rule->kind = RULE_COSMETIC;
            rule->cosmetic = (enum rule_cosmetic)separators[k].kind;
            rule->is_exception = separators[k].is_exception;
            rule->hosts = span_slice(line, 0, i);
            rule->body = body;
            if (body.size == 0)
                bad(rule, REASON_COSMETIC);
            else if (rule->cosmetic == COSMETIC_HIDE && span_starts(body, SPAN("+js")))
                rule->cosmetic = COSMETIC_SCRIPTLET;
            else if (rule->cosmetic == COSMETIC_HIDE && span_starts(body, SPAN("^responseheader(")))
                rule->cosmetic = COSMETIC_HEADER;
            else if (rule->cosmetic == COSMETIC_HIDE && body.at[0] == '^')
                rule->cosmetic = COSMETIC_HTML;
            else if (rule->cosmetic == COSMETIC_SCRIPT && span_starts(body, SPAN("//scriptlet(")))
                rule->cosmetic = COSMETIC_SCRIPTLET;
            return true;
        }
    }
    return false;
}

/* ---- options ---- */

/* How much of `text` belongs to the option at its start: up to a comma that is neither escaped
 * nor inside a regular expression. */
static size_t option_size(struct span text)
{
    bool at_item = false; // may a regular expression begin here?
    size_t i = 0, slashes = 1;

    while (i < text.size && text.at[i] != ',' && text.at[i] != '=')
        i++;
    if (i == text.size || text.at[i] == ',')
        return i;
    if (span_starts(text, SPAN("replace=")) || span_starts(text, SPAN("uritransform=")) ||
        span_starts(text, SPAN("urltransform=")))
        slashes = 2;
    if (span_starts(text, SPAN("csp=")) || span_starts(text, SPAN("permissions=")) ||
        span_starts(text, SPAN("jsonprune=")) || span_starts(text, SPAN("reason=")))
        slashes = 0;
    i++;
    if (i < text.size && memchr("'\"`", text.at[i], 3)) { // a value in quotes
        for (size_t k = i + 1; k < text.size; k++)
            if (text.at[k] == text.at[i] && (k + 1 == text.size || text.at[k + 1] == ','))
                return k + 1;
    }
    for (at_item = true; i < text.size; i++) {
        char c = text.at[i];
        if (c == '\\') {
            i++;
            at_item = false;
        } else if (c == ',') {
            return i;
        } else if (c == '/' && at_item && slashes) {
            size_t end = regex_end(text, i);
            if (end && slashes == 2)
                end = regex_end(text, end);
            if (end)
                i = end;
            at_item = false;
        } else {
            at_item = c == '|' || c == '~' || c == ':' || (c == ' ' && slashes);
        }
    }
    return text.size < i ? text.size : i;
}

/* "_" and "____", which lists use to keep options apart. */
static bool is_filler(struct span name)
{
    for (size_t i = 0; i < name.size; i++)
        if (name.at[i] != '_')
            return false;
    return name.size > 0;
}

/* Does an option list begin here? Known names only, or anything that has the shape of one. */
static bool begins_options(struct span text, bool only_known)
{
    struct span name = SPAN_NONE;
    size_t size = 0;

    while (size < text.size && is_word(text.at[size]))
        size++;
    if (size == 0 || (size < text.size && text.at[size] != ',' && text.at[size] != '='))
        return false;
    name = span_slice(text, 0, size);
    if (!only_known)
        return true;
    if (name.at[0] == '~')
        name = span_from(name, 1);
    return is_filler(name) || find_option(name) != NULL;
}

/* Divides the line into pattern, which stays in *line, and options, which come back (.at NULL:
 * none). The '$' between them is the first that a known option follows; for a regular expression
 * the first such behind its closing slash. A '$' with an unknown option behind it is the last. */
static struct span cut_options(struct span *line)
{
    bool is_regex = line->size > 2 && line->at[0] == '/';
    size_t cut = line->size;

    for (size_t i = 2; is_regex && i < line->size && cut == line->size; i++)
        if (line->at[i] == '$' && line->at[i - 1] == '/' && line->at[i - 2] != '\\' &&
            begins_options(span_from(*line, i + 1), true))
            cut = i;
    for (size_t i = 0; i < line->size && cut == line->size; i++)
        if (line->at[i] == '$' && begins_options(span_from(*line, i + 1), true))
            cut = i;
    if (cut == line->size && is_regex && line->at[line->size - 1] == '/')
        return SPAN_NONE;
    for (size_t i = line->size; i > 0 && cut == line->size; i--)
        if (line->at[i - 1] == '$' && begins_options(span_from(*line, i), false))
            cut = i - 1;
    if (cut == line->size)
        return SPAN_NONE;
    {
        struct span options = span_from(*line, cut + 1);
        line->size = cut;
        return options;
    }
}

static void set_modifier(struct rule *rule, enum rule_modifier modifier, struct span value)
{
    if (rule->modifier != MODIFIER_NONE && rule->modifier != modifier)
        bad(rule, REASON_CONFLICT);
    rule->modifier = modifier;
    rule->value = value;
}

static uint16_t parse_methods(struct rule *rule, struct span value)
{
    uint16_t with = 0, without = 0;
    struct span name;
    bool is_negated;

    while (rule_next_name(&value, &name, &is_negated)) {
        uint16_t bit = rule_method_bit(name);
        if (bit == 0)
            bad(rule, REASON_VALUE);
        *(is_negated ? &without : &with) |= bit;
    }
    if (with == 0)
        with = (1u << RULE_METHODS) - 1;
    with &= (uint16_t)~without;
    if (with == 0)
        bad(rule, REASON_NOTHING);
    return with;
}

static uint8_t other_party(unsigned party)
{
    switch ((enum rule_party)party) {
    case RULE_FIRST:
        return RULE_THIRD;
    case RULE_THIRD:
        return RULE_FIRST;
    case RULE_STRICT_FIRST:
        return RULE_STRICT_THIRD;
    case RULE_STRICT_THIRD:
        break;
    }
    return RULE_STRICT_FIRST;
}

struct wanted { // types as written
    uint16_t with, without;
    bool popup, idle_type, is_all;
};

/* What an option says, once it is known that it may. */
static void apply_option(struct rule *rule, const struct option_name *option, struct span value,
                         bool is_negated, struct wanted *wanted)
{
    void *member = (char *)rule + option->number; // of the options that have one

    switch ((enum option)option->option) {
    case OPTION_TYPE:
        *(is_negated ? &wanted->without : &wanted->with) |= (uint16_t)TYPE_BIT(option->number);
        break;
    case OPTION_ALL:
        wanted->is_all = true;
        break;
    case OPTION_POPUP:
        wanted->popup = wanted->popup || !is_negated;
        break;
    case OPTION_WEBRTC:
        wanted->idle_type = wanted->idle_type || !is_negated;
        break;
    case OPTION_PARTY:
        rule->party |= is_negated ? other_party(option->number) : (uint8_t)option->number;
        break;
    case OPTION_TEXT:
        *(struct span *)member = value;
        break;
    case OPTION_FLAG:
        *(bool *)member = !is_negated;
        break;
    case OPTION_METHOD:
        rule->methods = parse_methods(rule, value);
        break;
    case OPTION_REASON:
        break;
    case OPTION_IDLE:
        bad(rule, (enum rule_reason)option->number);
        break;
    case OPTION_MODIFIER:
        if (!is_negated)
            set_modifier(rule, (enum rule_modifier)option->number, value);
        break;
    case OPTION_REWRITE:
        set_modifier(rule, MODIFIER_REDIRECT, value);
        break;
    case OPTION_EMPTY:
        set_modifier(rule, MODIFIER_REDIRECT, SPAN("nooptext"));
        break;
    case OPTION_MP4:
        set_modifier(rule, MODIFIER_REDIRECT, SPAN("noopmp4-1s"));
        wanted->with |= TYPE_BIT(TYPE_MEDIA);
        break;
    case OPTION_PAGE:
        if (!is_negated)
            rule->page_flags |= option->number;
        break;
    case OPTION_UNKNOWN:
        bad(rule, REASON_OPTION);
        break;
    }
}

static void parse_option(struct rule *rule, struct span text, struct wanted *wanted)
{
    size_t equals = span_find_byte(text, '=');
    struct span name = trim(span_slice(text, 0, equals)), value = SPAN_NONE;
    const struct option_name *option;
    bool is_negated = name.size && name.at[0] == '~';

    name = span_from(name, is_negated);
    if (is_filler(name))
        return;
    if (equals < text.size)
        value = trim(span_from(text, equals + 1));
    if (value.size > 1 && memchr("'\"`", value.at[0], 3) &&
        find_divider(span_from(value, 1), value.at[0]) == value.size - 2)
        value = span_slice(value, 1, value.size - 2);
    option = find_option(name);
    if (!option) {
        bad(rule, REASON_OPTION);
        return;
    }
    if ((is_negated && !(option->traits & NEGATION)) ||
        ((option->traits & 3) == VALUE_NONE && equals < text.size) ||
        ((option->traits & 3) == VALUE_NEEDED && value.size == 0)) {
        bad(rule, REASON_VALUE);
        return;
    }
    if (option->traits & TRUST)
        rule->needs_trust = true;
    apply_option(rule, option, value, is_negated, wanted);
}

/* The types of a rule that names none, or only what it does not want. */
static uint16_t default_types(const struct rule *rule)
{
    switch (rule->modifier) {
    case MODIFIER_URLSKIP:
        return TYPE_BIT(TYPE_DOCUMENT);
    case MODIFIER_CSP:
    case MODIFIER_PERMISSIONS:
    case MODIFIER_REFERRERPOLICY:
    case MODIFIER_INLINE_SCRIPT:
    case MODIFIER_INLINE_FONT:
        return TYPE_BIT(TYPE_DOCUMENT) | TYPE_BIT(TYPE_SUBDOCUMENT);
    case MODIFIER_REMOVEPARAM:
    case MODIFIER_URITRANSFORM:
    case MODIFIER_REPLACE:
    case MODIFIER_REMOVEHEADER:
    case MODIFIER_COOKIE:
    case MODIFIER_JSONPRUNE:
    case MODIFIER_XMLPRUNE:
    case MODIFIER_PAGE:
        return TYPES_ALL;
    case MODIFIER_NONE:
    case MODIFIER_REDIRECT:
    case MODIFIER_REDIRECT_RULE:
        break;
    }
    if (rule->is_exception)
        return TYPES_ALL;
    return TYPES_ALL & ~TYPE_BIT(TYPE_DOCUMENT);
}

static void finish_types(struct rule *rule, const struct wanted *wanted)
{
    uint16_t with = wanted->is_all ? TYPES_ALL : wanted->with;

    rule->has_types = with != 0;
    if (with == 0 && (wanted->popup || wanted->idle_type)) {
        if (rule->page_flags == 0 && rule->modifier == MODIFIER_NONE)
            bad(rule, wanted->popup ? REASON_POPUP : REASON_WEBRTC);
    }
    if (rule->page_flags) {
        if (!rule->is_exception)
            bad(rule, REASON_CONFLICT);
        if (with == 0 && rule->modifier == MODIFIER_NONE)
            rule->modifier = MODIFIER_PAGE;
    }
    if (rule->is_exception && (wanted->with & TYPE_BIT(TYPE_DOCUMENT)) &&
        rule->modifier == MODIFIER_NONE)
        rule->page_flags |= PAGE_ALL;
    if (with == 0)
        with = default_types(rule);
    with &= (uint16_t)~wanted->without;
    rule->types = with;
    // `||host^` alone stops page visits too; with conditions it has to say so.
    if (!rule->has_types && wanted->without == 0 && rule->is_host && !rule->is_exception &&
        rule->modifier == MODIFIER_NONE && rule->party == 0 && rule->methods == 0 &&
        !rule->domains.at && !rule->to.at && !rule->denyallow.at && !rule->header.at &&
        !rule->request_header.at && !rule->address.at)
        rule->types |= TYPE_BIT(TYPE_DOCUMENT);
    if (with == 0)
        bad(rule, REASON_NOTHING);
}

/* Anchors off, stars at the ends off. */
static void parse_pattern(struct rule *rule, struct span pattern)
{
    if (pattern.size > 1 && pattern.at[0] == '/' && pattern.at[pattern.size - 1] == '/') {
        rule->is_regex = true;
        rule->pattern = span_slice(pattern, 1, pattern.size - 2);
        if (rule->pattern.size == 0)
            bad(rule, REASON_PATTERN);
        return;
    }
    if (span_starts(pattern, SPAN("||"))) {
        rule->anchor = ANCHOR_HOST;
        pattern = span_from(pattern, 2);
    } else if (span_starts(pattern, SPAN("|"))) {
        rule->anchor = ANCHOR_START;
        pattern = span_from(pattern, 1);
    }
    if (pattern.size && pattern.at[pattern.size - 1] == '|') {
        rule->is_right_anchored = true;
        pattern.size--;
    }
    while (pattern.size && pattern.at[pattern.size - 1] == '*') {
        rule->is_right_anchored = false;
        pattern.size--;
    }
    while (pattern.size && pattern.at[0] == '*') {
        rule->anchor = ANCHOR_NONE;
        pattern = span_from(pattern, 1);
    }
    rule->pattern = pattern;
    if (pattern.size == 0) {
        rule->is_right_anchored = false;
        rule->anchor = ANCHOR_NONE;
    }
    if (rule->anchor == ANCHOR_HOST && pattern.size > 1 && pattern.at[pattern.size - 1] == '^' &&
        !rule->is_right_anchored) {
        struct span host = span_slice(pattern, 0, pattern.size - 1);
        bool is_host = rule_is_host(host);

        if (!is_host && host.at[0] == '[' && host.at[host.size - 1] == ']')
            is_host =
                span_find_byte(host, '*') == host.size && span_find_byte(host, '^') == host.size;
        if (!is_host && span_find_byte(host, '.') == host.size) { // "||localhost^", "||com^"
            is_host = true;
            for (size_t i = 0; i < host.size; i++)
                is_host = is_host && is_host_byte(host.at[i]);
        }
        if (is_host && host.size <= URL_HOST_LIMIT) {
            rule->is_host = true;
            rule->pattern = host;
        }
    }
}

/* Fields that protect the user or the browser, or say what the message is: not for any list to take
 * away. And what a regular expression takes away, its author cannot say for all sites. */
static bool removal_needs_trust(struct span value)
{
    static const char *const fields[] = {
        "access-control-",
        "allow",
        "content-security-policy",
        "cross-origin-",
        "expect-ct",
        "feature-policy",
        "origin",
        "origin-agent-cluster",
        "permissions-policy",
        "referrer-policy",
        "sec-",
        "strict-transport-security",
        "timing-allow-origin",
        "upgrade-insecure-requests",
        "x-content-type-options",
        "x-download-options",
        "x-frame-options",
        "x-permitted-cross-domain-policies",
        "x-xss-protection",
        "authorization",
        "www-authenticate",
        "proxy-",
        "clear-site-data",
    };
    struct span name;
    size_t colon;

    if (span_starts_nocase(value, SPAN("request:")))
        value = span_from(value, 8);
    colon = span_find_byte(value, ':');
    name = span_slice(value, 0, colon);
    if (colon < value.size)
        return true;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct span field = span_text(fields[i]);
        if (span_ends(field, SPAN("-")) || span_equal(field, SPAN("content-security-policy"))
                ? span_starts_nocase(name, field)
                : span_equal_nocase(name, field))
            return true;
    }
    return false;
}

/* Is it asked of the answer, yet meant for the request, which has gone out by then? */
static bool comes_too_late(const struct rule *rule)
{
    if (rule->is_exception || (!rule->header.at && !rule->address.at))
        return false;
    return rule->modifier == MODIFIER_REMOVEPARAM || rule->modifier == MODIFIER_URLSKIP ||
           rule->modifier == MODIFIER_URITRANSFORM ||
           (rule->modifier == MODIFIER_REMOVEHEADER &&
            span_starts_nocase(rule->value, SPAN("request:")));
}

static bool has_negated(struct span list)
{
    struct span name;
    bool is_negated = false;

    while (!is_negated && rule_next_name(&list, &name, &is_negated))
        ;
    return is_negated;
}

static void parse_network(struct rule *rule, struct span line)
{
    struct wanted wanted = { 0 };
    struct span options;

    rule->kind = RULE_NETWORK;
    rule->modifier = MODIFIER_NONE;
    if (span_starts(line, SPAN("@@"))) {
        rule->is_exception = true;
        line = span_from(line, 2);
    }
    options = rule->options = cut_options(&line);
    line = trim(line);
    if (!options.at && !rule->is_exception && is_host_line(line)) {
        rule->is_host = true;
        rule->anchor = ANCHOR_HOST;
        rule->pattern = line;
    } else {
        parse_pattern(rule, line);
    }
    while (options.size) {
        size_t size = option_size(options);
        struct span option = trim(span_slice(options, 0, size));

        options = span_from(options, size + (size < options.size));
        if (option.size)
            parse_option(rule, option, &wanted);
    }
    finish_types(rule, &wanted);
    if (rule->pattern.size == 0 && rule->options.size == 0)
        bad(rule, REASON_PATTERN);
    if (!rule->is_exception && rule->modifier < MODIFIER_NONE && rule->value.size == 0 &&
        rule->modifier != MODIFIER_REMOVEPARAM && rule->modifier != MODIFIER_COOKIE &&
        rule->modifier != MODIFIER_INLINE_SCRIPT && rule->modifier != MODIFIER_INLINE_FONT)
        bad(rule, REASON_VALUE);
    if (has_negated(rule->denyallow))
        bad(rule, REASON_VALUE);
    if ((rule->is_cname && !rule->is_exception) || comes_too_late(rule))
        bad(rule, REASON_CONFLICT);
    if (rule->modifier == MODIFIER_REMOVEHEADER && removal_needs_trust(rule->value))
        rule->needs_trust = true;
    if ((rule->party & RULE_FIRST && rule->party & RULE_THIRD) ||
        (rule->party & RULE_STRICT_FIRST && rule->party & RULE_STRICT_THIRD))
        bad(rule, REASON_NOTHING);
}

/* Is there a control byte, other than a tab? Eight bytes at a time: an addition sets the upper bit
 * of those that are as large, and none carries over. */
static bool has_control(struct span line)
{
    const uint64_t ones = 0x0101010101010101u, uppers = ones << 7;
    uint64_t found = 0;

    for (size_t i = 0; i < line.size; i += 8) {
        uint64_t bytes = ones * ' ', lower, are_tabs;

        memcpy(&bytes, line.at + i, line.size - i < 8 ? line.size - i : 8);
        lower = bytes & ~uppers;
        are_tabs = ~((lower ^ ones * '\t') + ones * 0x7f);
        found |= ((~(lower + ones * (0x80 - ' ')) & ~are_tabs) | (lower + ones)) & ~bytes;
    }
    return found & uppers;
}

void rule_parse(struct rule *rule, struct span line)
{
    *rule = (struct rule){ 0 };
    rule->modifier = MODIFIER_NONE;
    line = trim(line);
    rule->text = line;
    if (line.size == 0 || (line.at[0] == '!' && !span_starts(line, SPAN("!#"))))
        return;
    if (line.size > RULE_LINE_LIMIT) {
        bad(rule, REASON_TOO_LONG);
        return;
    }
    if (line.at[0] == '!') {
        rule->kind = RULE_PREPROCESSOR;
        return;
    }
    if (line.at[0] == '[' && line.at[line.size - 1] == ']' &&
        span_find_byte(line, '#') == line.size)
        return; // "[Adblock Plus 2.0]"
    if (line.at[0] == '#' &&
        (line.size == 1 || !memchr("#@?$%", line.at[1], 5) ||
         (line.at[1] == '#' && (line.size == 2 || line.at[2] == ' ' || line.at[2] == '#') &&
          (line.size < 4 || !is_host_byte(line.at[3])))))
        return; // a comment of hosts files
    if (has_control(line)) {
        bad(rule, REASON_NOT_TEXT);
        return;
    }
    if (parse_cosmetic(rule, line) || parse_hosts(rule, line))
        return;
    for (size_t i = span_find_byte(line, '#'); i < line.size;) {
        if (i > 0 && (line.at[i - 1] == ' ' || line.at[i - 1] == '\t'))
            line.size = i; // "||ads.example^ # a comment"
        else
            i += 1 + span_find_byte(span_from(line, i + 1), '#');
    }
    parse_network(rule, trim(line));
}
