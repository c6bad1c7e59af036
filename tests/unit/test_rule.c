/* Lines of filter lists taken apart: each row a line and what it is in short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/rule.h"

/* ---- network rules, told in short ---- */

static void put_list(struct buffer *out, const char *name, struct span value)
{
    if (value.at)
        buffer_printf(out, " %s=%.*s", name, SPAN_PRINT(value));
}

static void put_types(struct buffer *out, const struct rule *rule)
{
    const unsigned usual = TYPES_ALL & ~TYPE_BIT(TYPE_DOCUMENT);

    if (rule->types == usual)
        return;
    if (rule->types == TYPES_ALL) {
        buffer_printf(out, " every");
        return;
    }
    buffer_printf(out, " types=");
    for (unsigned i = 0; i < REQUEST_TYPES; i++)
        if (rule->types >> i & 1)
            buffer_printf(out, "%.3s.", request_type_name((enum request_type)i));
}

static const char *in_short(const struct rule *rule, struct buffer *out)
{
    static const char *const anchors[] = { "", "|", "||" };
    static const char *const modifiers[] = {
        "removeparam",   "urlskip",        "uritransform", "replace", "csp",
        "permissions",   "referrerpolicy", "removeheader", "cookie",  "jsonprune",
        "xmlprune",      "inline-script",  "inline-font",  "",        "redirect",
        "redirect-rule", "page",
    };

    buffer_printf(out, "%s%s%s%.*s%s%s", rule->is_exception ? "@@" : "",
                  rule->is_host ? "host " : anchors[rule->anchor], rule->is_regex ? "/" : "",
                  SPAN_PRINT(rule->pattern), rule->is_regex ? "/" : "",
                  rule->is_right_anchored ? "|" : "");
    put_types(out, rule);
    if (rule->party)
        buffer_printf(out, " party=%u", rule->party);
    if (rule->methods)
        buffer_printf(out, " methods=%x", rule->methods);
    put_list(out, "domain", rule->domains);
    put_list(out, "to", rule->to);
    put_list(out, "denyallow", rule->denyallow);
    put_list(out, "client", rule->client);
    put_list(out, "ipaddress", rule->address);
    put_list(out, "header", rule->header);
    put_list(out, "requestheader", rule->request_header);
    buffer_printf(out, "%s%s%s%s%s", rule->is_important ? " important" : "",
                  rule->is_badfilter ? " badfilter" : "", rule->is_match_case ? " match-case" : "",
                  rule->is_cname ? " cname" : "", rule->needs_trust ? " trust" : "");
    if (rule->modifier != MODIFIER_NONE)
        buffer_printf(out, " %s(%.*s)", modifiers[rule->modifier], SPAN_PRINT(rule->value));
    if (rule->page_flags)
        buffer_printf(out, " flags=%x", rule->page_flags);
    buffer_append(out, SPAN("\0"));
    return out->at;
}

static const struct {
    const char *line, *means;
} network[] = {
    // patterns
    { "ads", "ads" },
    { "  ads  ", "ads" },
    { "/ads/*", "/ads/" },
    { "*ads*", "ads" },
    { "|http://ads", "|http://ads" },
    { "ads.js|", "ads.js|" },
    { "ads*|", "ads" },
    { "|*ads", "ads" },
    { "||ads.example^", "host ads.example every" },
    { "||ads.example", "||ads.example" },
    { "||ads.example/x", "||ads.example/x" },
    { "||ads.example^|", "||ads.example^|" },
    { "||ads.example^*", "host ads.example every" },
    { "||localhost^", "host localhost every" },
    { "||com^", "host com every" },
    { "||[::1]^", "host [::1] every" },
    { "||127.0.0.1^", "host 127.0.0.1 every" },
    { "||a..b^", "||a..b^" },
    { "||ads.*.example^", "||ads.*.example^" },
    { "ads.example", "host ads.example every" }, // alone in a line
    { "banner.gif", "banner.gif" },              // looks like a name, is a file
    { "ads.js", "ads.js" },
    { "ads.example$script", "ads.example types=scr." },
    { "/ads[0-9]+/", "/ads[0-9]+/" },
    { "/a\\/b,c/$image", "/a\\/b,c/ types=ima." },
    { "/a$/$script", "/a$/ types=scr." },
    { "/path$1/x", "/path$1/x" },
    { "@@||ads.example^", "@@host ads.example every" },
    { "@@ads", "@@ads every" },
    { "*$script", " types=scr." },
    { "$script", " types=scr." },
    { "b\xc3\xbc"
      "cher.example",
      "host b\xc3\xbc"
      "cher.example every" },
    { "||ads.example^ # a comment", "host ads.example every" },
    { "||ads.example^$script\t# a comment", "host ads.example types=scr." },
    { "ads.example #", "host ads.example every" },
    { "/x#y", "/x#y" },
    // types
    { "a$script,image", "a types=scr.ima." },
    { "a$~script", "a types=sub.sty.ima.fon.med.obj.xml.web.pin.oth." },
    { "a$document", "a types=doc." },
    { "a$all", "a every" },
    { "a$~document", "a" },
    { "a$frame,xhr,css,beacon", "a types=sub.sty.xml.pin." },
    { "a$popup,script", "a types=scr." },
    { "@@a$document", "@@a types=doc. flags=1" },
    { "@@a$generichide", "@@a every page() flags=4" },
    { "@@a$ehide,ghide,shide", "@@a every page() flags=e" },
    { "||a.example^$script", "host a.example types=scr." },
    { "||a.example^$third-party", "host a.example party=2" },
    // conditions
    { "a$3p", "a party=2" },
    { "a$~3p", "a party=1" },
    { "a$1p", "a party=1" },
    { "a$~first-party", "a party=2" },
    { "a$strict1p", "a party=4" },
    { "a$strict3p", "a party=8" },
    { "a$~strict1p", "a party=8" },
    { "a$domain=x.example|~y.x.example", "a domain=x.example|~y.x.example" },
    { "a$from=x.*", "a domain=x.*" },
    { "a$to=x.example,denyallow=y.example", "a to=x.example denyallow=y.example" },
    { "a$domain=/x,y|z/,script", "a types=scr. domain=/x,y|z/" },
    { "a$method=get|post", "a methods=44" },
    { "a$method=~get", "a methods=1fb" },
    { "a$client=192.0.2.1|~alice", "a client=192.0.2.1|~alice" },
    { "a$client='x'|'y'", "a client='x'|'y'" },
    { "a$client='x \\'y\\' z'", "a client=x \\'y\\' z" },
    { "a$method=get|post|~post", "a methods=4" },
    { "a$ipaddress=127.0.0.1", "a ipaddress=127.0.0.1" },
    { "a$header=x-ads:/a,b/", "a header=x-ads:/a,b/" },
    { "a$requestheader=x", "a requestheader=x" },
    { "a$important,match-case,badfilter", "a important badfilter match-case" },
    { "a$~match-case", "a" },
    { "@@a$cname", "@@a every cname" },
    { "a$_,script,____", "a types=scr." },
    { "a$reason=because of this", "a" },
    // modifiers
    { "a$redirect=noop.js:100", "a redirect(noop.js:100)" },
    { "a$redirect-rule=1x1.gif", "a redirect-rule(1x1.gif)" },
    { "a$rewrite=abp-resource:blank-js", "a redirect(abp-resource:blank-js)" },
    { "a$empty", "a redirect(nooptext)" },
    { "a$mp4", "a types=med. redirect(noopmp4-1s)" },
    { "$removeparam=utm", " every removeparam(utm)" },
    { "$removeparam=/^a,b$/i", " every removeparam(/^a,b$/i)" },
    { "$removeparam", " every removeparam()" },
    { "$queryprune=~x", " every removeparam(~x)" },
    { "@@a$removeparam", "@@a every removeparam()" },
    { "a$csp=script-src 'none'; img-src *", "a types=doc.sub. csp(script-src 'none'; img-src *)" },
    { "@@a$csp", "@@a types=doc.sub. csp()" },
    { "a$permissions=camera=()", "a types=doc.sub. permissions(camera=())" },
    { "a$referrerpolicy=no-referrer", "a types=doc.sub. referrerpolicy(no-referrer)" },
    { "a$removeheader=refresh", "a every removeheader(refresh)" },
    { "a$cookie=uid;maxAge=3", "a every cookie(uid;maxAge=3)" },
    { "a$cookie", "a every cookie()" },
    { "a$inline-script", "a types=doc.sub. inline-script()" },
    { "a$urlskip=?to", "a types=doc. trust urlskip(?to)" },
    { "a$replace=/a,b/c\\,d/g", "a every trust replace(/a,b/c\\,d/g)" },
    { "a$uritransform=/a/b/", "a every trust uritransform(/a/b/)" },
};

static void network_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof network / sizeof *network; i++) {
        struct buffer out = { .limit_bytes = 10000 };
        struct rule rule;

        rule_parse(&rule, span_text(network[i].line));
        if (rule.kind != RULE_NETWORK)
            fail_msg("%s: kind %d, %s", network[i].line, rule.kind, rule_reason_text(rule.reason));
        if (strcmp(in_short(&rule, &out), network[i].means) != 0)
            fail_msg("%s: %s", network[i].line, out.at);
        buffer_release(&out);
    }
}

/* ---- other lines ---- */

static const struct {
    const char *line;
    enum rule_kind kind;
    enum rule_reason reason;
} others[] = {
    { "", RULE_NOTHING, 0 },
    { "   ", RULE_NOTHING, 0 },
    { "! a comment", RULE_NOTHING, 0 },
    { "!", RULE_NOTHING, 0 },
    { "# a comment", RULE_NOTHING, 0 },
    { "#", RULE_NOTHING, 0 },
    { "####", RULE_NOTHING, 0 },
    { "[Adblock Plus 2.0]", RULE_NOTHING, 0 },
    { "!#if true", RULE_PREPROCESSOR, 0 },
    { "!#endif", RULE_PREPROCESSOR, 0 },
    { "0.0.0.0 ads.example", RULE_HOSTS, 0 },
    { "127.0.0.1\tads.example tracker.example # comment", RULE_HOSTS, 0 },
    { "::1 ads.example", RULE_HOSTS, 0 },
    { "fe80::1%lo0 localhost", RULE_HOSTS, 0 },
    { "127.0.0.1 a b", RULE_BAD, REASON_HOST },
    { "127.0.0.1 a b.example", RULE_HOSTS, 0 },
    { "0 ads.example", RULE_HOSTS, 0 },
    { ":: ads.example", RULE_HOSTS, 0 },
    { "a$popup,~script", RULE_IDLE, REASON_POPUP },
    { "##.ad", RULE_COSMETIC, 0 },
    { "a.example,~b.example##.ad", RULE_COSMETIC, 0 },
    { "a.example#@#.ad", RULE_COSMETIC, 0 },
    { "a.example#?#.ad:has(x)", RULE_COSMETIC, 0 },
    { "a.example#$#body { x: y }", RULE_COSMETIC, 0 },
    { "a.example#%#//scriptlet('x')", RULE_COSMETIC, 0 },
    { "a.example##+js(x)", RULE_COSMETIC, 0 },
    { "a.example##^script", RULE_COSMETIC, 0 },
    { "a.example$$script", RULE_COSMETIC, 0 },
    { "a.example##", RULE_BAD, REASON_COSMETIC },
    { "a$popup", RULE_IDLE, REASON_POPUP },
    { "a$stealth", RULE_IDLE, REASON_STEALTH },
    { "a$webrtc", RULE_IDLE, REASON_WEBRTC },
    { "@@a$extension", RULE_IDLE, REASON_EXTENSION },
    { "a$1p,3p", RULE_IDLE, REASON_NOTHING },
    { "a$script,~script", RULE_IDLE, REASON_NOTHING },
    { "a$method=get|~get", RULE_IDLE, REASON_NOTHING },
    { "a\001b", RULE_BAD, REASON_NOT_TEXT },
    { "a\177b", RULE_BAD, REASON_NOT_TEXT },
    { "! a\001b", RULE_NOTHING, 0 },
    { "a$no-such-option", RULE_BAD, REASON_OPTION },
    { "a$script,nonsense=1", RULE_BAD, REASON_OPTION },
    { "a$domain=", RULE_BAD, REASON_VALUE },
    { "a$domain", RULE_BAD, REASON_VALUE },
    { "a$important=1", RULE_BAD, REASON_VALUE },
    { "a$~important", RULE_BAD, REASON_VALUE },
    { "a$~all", RULE_BAD, REASON_VALUE },
    { "a$method=fetch", RULE_BAD, REASON_VALUE },
    { "a$csp", RULE_BAD, REASON_VALUE },
    { "a$redirect=x,csp=y", RULE_BAD, REASON_CONFLICT },
    { "a$cname", RULE_BAD, REASON_CONFLICT },
    { "a$removeparam=x,header=y", RULE_BAD, REASON_CONFLICT }, // asked when it is too late
    { "a$removeheader=request:x,ipaddress=127.0.0.1", RULE_BAD, REASON_CONFLICT },
    { "a$denyallow=x.example|~y.example", RULE_BAD, REASON_VALUE },
    { "a$generichide", RULE_BAD, REASON_CONFLICT }, // only exceptions say such a thing
    { "//", RULE_BAD, REASON_PATTERN },
    { "*", RULE_BAD, REASON_PATTERN },
    { "||", RULE_BAD, REASON_PATTERN },
    { "@@", RULE_BAD, REASON_PATTERN },
};

static void other_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct rule rule;

        rule_parse(&rule, span_text(others[i].line));
        if (rule.kind != others[i].kind || rule.reason != others[i].reason)
            fail_msg("%s: kind %d, reason %d (%s)", others[i].line, rule.kind, rule.reason,
                     rule_reason_text(rule.reason));
        if ((rule.kind == RULE_IDLE) != rule_reason_is_idle(rule.reason))
            fail_msg("%s: idle?", others[i].line);
    }
}

static void reasons_have_words(void **state)
{
    (void)state;
    for (int reason = REASON_NONE + 1; reason < RULE_REASONS; reason++)
        assert_true(strlen(rule_reason_text((enum rule_reason)reason)) > 5);
    assert_string_equal(rule_reason_text(REASON_NONE), "");
    assert_string_equal(rule_reason_text(RULE_REASONS), "");
}

static void cosmetic_parts(void **state)
{
    static const struct {
        const char *line, *hosts, *body;
        enum rule_cosmetic cosmetic;
        bool is_exception;
    } rows[] = {
        { "##.ad", "", ".ad", COSMETIC_HIDE, false },
        { "a.example,~b.*##.ad > x", "a.example,~b.*", ".ad > x", COSMETIC_HIDE, false },
        { "a.example#@#.ad", "a.example", ".ad", COSMETIC_HIDE, true },
        { "a.example#?#.ad", "a.example", ".ad", COSMETIC_EXTENDED, false },
        { "a.example#@?#.ad", "a.example", ".ad", COSMETIC_EXTENDED, true },
        { "a.example#$#b { c }", "a.example", "b { c }", COSMETIC_STYLE, false },
        { "a.example##^script", "a.example", "^script", COSMETIC_HTML, false },
        { "a.example$$script[x]", "a.example", "script[x]", COSMETIC_HTML, false },
        { "a.example##^responseheader(refresh)", "a.example", "^responseheader(refresh)",
          COSMETIC_HEADER, false },
        { "a.example##+js(x, y)", "a.example", "+js(x, y)", COSMETIC_SCRIPTLET, false },
        { "a.example#%#//scriptlet('x')", "a.example", "//scriptlet('x')", COSMETIC_SCRIPTLET,
          false },
        { "a.example#%#x()", "a.example", "x()", COSMETIC_SCRIPT, false },
        { "/^a[0-9]/##.ad", "/^a[0-9]/", ".ad", COSMETIC_HIDE, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rule rule;

        rule_parse(&rule, span_text(rows[i].line));
        if (rule.kind != RULE_COSMETIC || rule.cosmetic != rows[i].cosmetic ||
            rule.is_exception != rows[i].is_exception ||
            !span_equal(rule.hosts, span_text(rows[i].hosts)) ||
            !span_equal(rule.body, span_text(rows[i].body)))
            fail_msg("%s: kind %d, cosmetic %d, %.*s, %.*s", rows[i].line, rule.kind, rule.cosmetic,
                     SPAN_PRINT(rule.hosts), SPAN_PRINT(rule.body));
    }
}

static void names_of_hosts_lines(void **state)
{
    struct rule rule;
    struct span names, name;

    (void)state;
    rule_parse(&rule, SPAN("127.0.0.1 localhost ads.example\t x.example ip6-loopback # y.example"));
    names = rule.pattern;
    assert_true(rule_next_host(&names, &name) && span_equal(name, SPAN("ads.example")));
    assert_true(rule_next_host(&names, &name) && span_equal(name, SPAN("x.example")));
    assert_false(rule_next_host(&names, &name));
}

static void items_of_lists(void **state)
{
    static const struct {
        const char *list, *items; // each behind a blank, "!" in front of a negated one
    } rows[] = {
        { "", "" },
        { "a", " a" },
        { "a|b", " a b" },
        { "a|~b|c", " a !b c" },
        { "|a||b|", " a b" },
        { "~", "" },
        { " a | b ", " a b" },
        { "/a|b/|c", " /a|b/ c" },
        { "~/a\\/|b/|c", " !/a\\/|b/ c" },
        { "/a|b", " /a b" },
        { "a\\|b|c", " a\\|b c" },
        { "a\\", " a\\" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer out = { .limit_bytes = 1000 };
        struct span list = span_text(rows[i].list), name;
        bool is_negated;

        while (rule_next_name(&list, &name, &is_negated))
            buffer_printf(&out, " %s%.*s", is_negated ? "!" : "", SPAN_PRINT(name));
        if (!span_equal(buffer_span(&out), span_text(rows[i].items)))
            fail_msg("%s: %.*s", rows[i].list, SPAN_PRINT(buffer_span(&out)));
        buffer_release(&out);
    }
}

static void methods(void **state)
{
    (void)state;
    assert_int_equal(rule_method_bit(SPAN("GET")), 1u << RULE_GET);
    assert_int_equal(rule_method_bit(SPAN("trace")), 1u << RULE_TRACE);
    assert_int_equal(rule_method_bit(SPAN("BREW")), 0);
    assert_int_equal(rule_method_bit(SPAN("")), 0);
}

static void types_and_their_names(void **state)
{
    enum request_type type;

    (void)state;
    for (unsigned i = 0; i < REQUEST_TYPES; i++) {
        assert_true(request_type_of(span_text(request_type_name((enum request_type)i)), &type));
        assert_int_equal(type, i);
    }
    assert_null(request_type_name(REQUEST_TYPES));
    assert_true(request_type_of(SPAN("sub_frame"), &type) && type == TYPE_SUBDOCUMENT);
    assert_false(request_type_of(SPAN("third-party"), &type));
    assert_false(request_type_of(SPAN(""), &type));
}

static void limits_of_lines(void **state)
{
    char *line = malloc(RULE_LINE_LIMIT + 1);
    struct rule rule;

    (void)state;
    assert_non_null(line);
    memset(line, 'a', RULE_LINE_LIMIT + 1);
    rule_parse(&rule, span_of(line, RULE_LINE_LIMIT));
    assert_int_equal(rule.kind, RULE_NETWORK);
    rule_parse(&rule, span_of(line, RULE_LINE_LIMIT + 1));
    assert_int_equal(rule.kind, RULE_BAD);
    assert_int_equal(rule.reason, REASON_TOO_LONG);
    free(line);
}

static void hosts_by_shape(void **state)
{
    static const struct {
        const char *text;
        bool is_host;
    } rows[] = {
        { "a.b", true },    { "a", false },
        { "a.", false },    { ".a", false },
        { "a..b", false },  { "a_b.c-d", true },
        { "a/b.c", false }, { "a.b:80", false },
        { "", false },      { "b\xc3\xbc.example", true },
    };
    char long_name[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rule_is_host(span_text(rows[i].text)) != rows[i].is_host)
            fail_msg("%s", rows[i].text);
    memset(long_name, 'a', sizeof long_name);
    long_name[1] = '.';
    assert_true(rule_is_host(span_of(long_name, 255)));
    assert_false(rule_is_host(span_of(long_name, 256)));
}

/* Wherever it stands. */
static void control_bytes_are_refused(void **state)
{
    char text[] = "||ads.example/path^";
    struct rule rule;

    (void)state;
    for (size_t at = 3; at < sizeof text - 2; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            bool is_control = (byte < ' ' && byte != '\t') || byte == 0x7f;
            char kept = text[at];

            text[at] = (char)byte;
            rule_parse(&rule, span_of(text, sizeof text - 1));
            if ((rule.kind == RULE_BAD && rule.reason == REASON_NOT_TEXT) != is_control)
                fail_msg("byte %u at %zu", byte, at);
            text[at] = kept;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_bytes_are_refused),
        cmocka_unit_test(network_rules),
        cmocka_unit_test(other_lines),
        cmocka_unit_test(reasons_have_words),
        cmocka_unit_test(cosmetic_parts),
        cmocka_unit_test(names_of_hosts_lines),
        cmocka_unit_test(items_of_lists),
        cmocka_unit_test(methods),
        cmocka_unit_test(types_and_their_names),
        cmocka_unit_test(limits_of_lines),
        cmocka_unit_test(hosts_by_shape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
