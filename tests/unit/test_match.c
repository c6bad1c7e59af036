/* What the rules say to a request: rows for each kind of question. How patterns are found is for
 * test_match_naive.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/url.h"
#include "rules.h"

static const char *const words[] = { "pass", "exception", "block", "redirect" };

static const struct {
    const char *name, *rules, *type, *source, *url, *want; // "word line [stub]"
} asks[] = {
    { "a host", "||ads.example^", "script", "http://n.example/", "http://ads.example/x",
      "block 1" },
    { "below a host", "||ads.example^", "script", "", "http://x.ads.example:81/", "block 1" },
    { "only at a label", "||ads.example^", "script", "", "http://bads.example/", "pass" },
    { "a host with a dot at its end", "||ads.example^", "script", "", "http://ads.example./",
      "block 1" },
    { "a page visit", "||ads.example^", "document", "", "http://ads.example/", "block 1" },
    { "no page visit by other rules", "ads", "document", "", "http://ads.example/", "pass" },
    { "no page visit by a party's rule", "||ads.example^$3p", "document", "", "http://ads.example/",
      "pass" },
    { "a page visit by its type", "ads$document", "document", "", "http://ads.example/",
      "block 1" },
    { "a page visit by all", "ads$all", "document", "", "http://ads.example/", "block 1" },
    { "an exception", "||ads.example^\n@@/ok/", "script", "", "http://ads.example/ok/x",
      "exception 2" },
    { "an exception for another type", "||ads.example^\n@@ok$image", "script", "",
      "http://ads.example/ok", "block 1" },
    { "no exception without a block", "@@ok", "script", "", "http://ads.example/ok", "pass" },
    { "important wins", "ads$important\n@@ads", "script", "", "http://a.example/ads", "block 1" },
    { "an important exception wins", "ads$important\n@@ads$important", "script", "",
      "http://a.example/ads", "exception 2" },
    { "important behind others", "||a.example^\nads$important\n@@ads", "script", "",
      "http://a.example/ads", "block 2" },
    { "badfilter", "ads\nads$badfilter", "script", "", "http://a.example/ads", "pass" },
    { "badfilter of a host", "||a.example^\n||a.example^$badfilter", "script", "",
      "http://a.example/", "pass" },
    { "badfilter, options in another order", "ads$script,3p\nads$3p,script,badfilter", "script",
      "http://b.com/", "http://a.com/ads", "pass" },
    { "badfilter, written with capitals",
      "||A.example/Ads$script\n||a.Example/ads$script,badfilter", "script", "",
      "http://a.example/ads", "pass" },
    { "... where they count", "/Ads$script,match-case\n/ads$script,match-case,badfilter", "script",
      "", "http://a.example/Ads", "block 1" },
    { "badfilter of a host in other letters",
      "||xn--bcher-kva.example^$script\n||b\xc3\xbc"
      "cher.example^$script,badfilter",
      "script", "", "http://xn--bcher-kva.example/", "pass" },
    { "badfilter of a line of a hosts file", "0.0.0.0 a.example\n||a.example^$badfilter", "script",
      "", "http://a.example/", "pass" },
    { "badfilter by the other name of an option",
      "ads$from=a.example|b.example,3p\n"
      "ads$third-party,badfilter,domain=b.example|a.example",
      "script", "http://a.example/", "http://x.example/ads", "pass" },
    { "domain, an entity but for one", "ads$domain=n.*|~n.com", "script", "http://n.com/",
      "http://a.com/ads", "pass" },
    { "domain, the others of the entity", "ads$domain=n.*|~n.com", "script", "http://n.org/",
      "http://a.com/ads", "block 1" },
    { "domain, a regex but for one", "ads$domain=/^n\\d\\./|~n7.com", "script", "http://n7.com/",
      "http://a.com/ads", "pass" },
    { "domain, the others of the regex", "ads$domain=/^n\\d\\./|~n7.com", "script",
      "http://n8.com/", "http://a.com/ads", "block 1" },
    { "domain, not by a regex", "ads$domain=~/^n\\d\\./", "script", "http://n8.com/",
      "http://a.com/ads", "pass" },
    { "domain, the longest name decides", "ads$to=a.com|~b.a.com|c.b.a.com", "script", "",
      "http://c.b.a.com/ads", "block 1" },
    { "domain, an address", "ads$domain=[::1]|127.0.0.1", "script", "http://[::1]:80/",
      "http://a.com/ads", "block 1" },
    { "all but a type", "||a.com^$all,~script", "document", "", "http://a.com/", "block 1" },
    { "not that type", "||a.com^$all,~script", "script", "", "http://a.com/", "pass" },
    { "a pop-up, and not a script", "||a.com^$popup,~script", "image", "", "http://a.com/",
      "pass" },
    { "first party, but another host", "||a.com^$1p,strict3p", "script", "http://x.a.com/",
      "http://a.com/", "block 1" },
    { "a port", "||a.com:81^", "script", "", "http://a.com:81/", "block 1" },
    { "another port", "||a.com:81^", "script", "", "http://a.com/", "pass" },
    { "an end that is a separator", "a.com^|", "script", "", "http://a.com", "block 1" },
    { "'$' in a regex", "/a\\.com\\/x$|b$/$script", "script", "", "http://a.com/x", "block 1" },
    { "'$' in a pattern", "||a.com/a$image.png$script", "script", "", "http://a.com/a$image.png",
      "block 1" },
    { "badfilter of some domains", "ads$domain=a.example|b.example\nads$domain=a.example,badfilter",
      "script", "http://a.example/", "http://x.example/ads", "pass" },
    { "... leaves the others", "ads$domain=a.example|b.example\nads$domain=a.example,badfilter",
      "script", "http://b.example/", "http://x.example/ads", "block 1" },
    { "... and all of what has others to leave out",
      "ads$domain=a.example|~b.a.example\nads$domain=a.example,badfilter", "script",
      "http://a.example/", "http://x.example/ads", "block 1" },
    { "badfilter of another rule", "ads$script\nads$image,badfilter", "script", "",
      "http://a.example/ads", "block 1" },
    { "third party", "ads$3p", "script", "http://b.com/", "http://a.com/ads", "block 1" },
    { "not third party", "ads$3p", "script", "http://x.a.com/", "http://a.com/ads", "pass" },
    { "first party", "ads$1p", "script", "http://x.a.com/", "http://a.com/ads", "block 1" },
    { "no source is first party", "ads$1p", "script", "", "http://a.com/ads", "block 1" },
    { "strictly first", "ads$strict1p", "script", "http://x.a.com/", "http://a.com/ads", "pass" },
    { "strictly third", "ads$strict3p", "script", "http://x.a.com/", "http://a.com/ads",
      "block 1" },
    { "domain", "ads$domain=n.example", "script", "http://x.n.example/", "http://a.com/ads",
      "block 1" },
    { "domain without a source", "ads$domain=n.example", "script", "", "http://n.example/ads",
      "pass" },
    { "a page visit is its page's own", "ads$document,domain=n.example", "document", "",
      "http://x.n.example/ads", "block 1" },
    { "... but its party is said by others", "ads$document,3p,domain=n.example", "document", "",
      "http://n.example/ads", "pass" },
    { "... by a rule without a pattern", "$document,domain=n.example", "document", "",
      "http://n.example/", "block 1" },
    { "... of a page that it is not for", "ads$document,domain=~n.example", "document", "",
      "http://n.example/ads", "pass" },
    { "not a domain, without a source", "ads$domain=~n.example", "script", "",
      "http://n.example/ads", "block 1" },
    { "to", "ads$to=a.com|~x.a.com", "script", "", "http://a.com/ads", "block 1" },
    { "to, taken out", "ads$to=a.com|~x.a.com", "script", "", "http://x.a.com/ads", "pass" },
    { "denyallow", "ads$denyallow=a.com", "script", "", "http://x.a.com/ads", "pass" },
    { "denyallow, another", "ads$denyallow=a.com", "script", "", "http://b.com/ads", "block 1" },
    { "match-case", "/Ads$match-case", "script", "", "http://a.com/Ads", "block 1" },
    { "match-case, other case", "/Ads$match-case", "script", "", "http://a.com/ads", "pass" },
    { "match-case, capitals in the host", "||A.com/Ads$match-case", "script", "",
      "http://a.COM/Ads", "block 1" },
    { "match-case behind user information", "/Ads$match-case", "script", "",
      "http://me:x@a.com/Ads", "block 1" },
    { "without case", "/Ads", "script", "", "http://a.com/aDS", "block 1" },
    { "regex", "/ads[0-9]+\\.js$/", "script", "", "http://a.com/ADS12.js", "block 1" },
    { "regex with case", "/Ads[0-9]/$match-case", "script", "", "http://a.com/ads1", "pass" },
    { "regex without a literal", "/^https?:.{5,9}$/", "script", "", "http://a.com/", "block 1" },
    { "regex at the end", "/\\.gif$/", "image", "", "http://a.com/x.gif", "block 1" },
    { "regex not at the end", "/\\.gif$/", "image", "", "http://a.com/x.gif?1", "pass" },
    { "end", "ads.js|", "script", "", "http://a.com/ads.js", "block 1" },
    { "not the end", "ads.js|", "script", "", "http://a.com/ads.js?", "pass" },
    { "start", "|http://a", "script", "", "http://a.com/", "block 1" },
    { "not the start", "|a.com", "script", "", "http://a.com/", "pass" },
    { "IPv6", "||[::1]^", "script", "", "http://[::1]:80/", "block 1" },
    { "IDN",
      "||b\xc3\xbc"
      "cher.example/x",
      "script", "", "http://xn--bcher-kva.example/x", "block 1" },
    { "IDN in the URL", "||xn--bcher-kva.example^", "script", "",
      "http://b\xc3\xbc"
      "cher.example/",
      "block 1" },
    { "IDN with a capital",
      "||B\xc3\x9c"
      "cher.example^",
      "script", "",
      "http://b\xc3\xbc"
      "cher.example/x",
      "block 1" },
    { "IDN and capitals that count",
      "||b\xc3\xbc"
      "cher.example/Ads$match-case",
      "script", "",
      "http://b\xc3\xbc"
      "cher.example/Ads",
      "block 1" },
    { "IDN of a page",
      "ads$domain=b\xc3\xbc"
      "cher.example",
      "script",
      "http://b\xc3\x9c"
      "cher.example/",
      "http://a.com/ads", "block 1" },
    { "hosts file", "0.0.0.0 ads.example", "script", "", "http://x.ads.example/", "block 1" },
    { "hosts file, a name that is none", "0.0.0.0 a.example b/c ads.example", "script", "",
      "http://ads.example/", "block 1" },
    { "hosts file, a short zero", "0 ads.example", "script", "", "http://ads.example/", "block 1" },
    { "hosts file, a comment", "0.0.0.0 a.example # ads.example", "script", "",
      "http://ads.example/", "pass" },
    { "a name alone", "ads.example", "document", "", "http://ads.example/", "block 1" },
    { "the first of several lines", "ads\nads$script\n/ads", "script", "", "http://a.com/x",
      "pass" },
    // stubs
    { "a stub", "ads$redirect=noopjs", "script", "", "http://a.com/ads", "redirect 1 noopjs" },
    { "the highest priority", "ads$redirect=a:1\nads$redirect=b:2\nads$redirect=c:-1", "script", "",
      "http://a.com/ads", "redirect * b" },
    { "an important one before the highest priority",
      "ads$redirect=a:1\nads$redirect-rule=b:-1,important\nads$redirect-rule=c:2\n"
      "ads$redirect-rule=d:-2,important",
      "script", "", "http://a.com/ads", "redirect * b" },
    { "redirect-rule stops nothing", "ads$redirect-rule=noopjs", "script", "", "http://a.com/ads",
      "pass" },
    { "redirect-rule for what is stopped", "||a.com^\nads$redirect-rule=noopjs", "script", "",
      "http://a.com/ads", "redirect 1 noopjs" },
    { "a stub taken off", "||a.com^\nads$redirect-rule=noopjs\n@@ads$redirect-rule=noopjs",
      "script", "", "http://a.com/ads", "block 1" },
    { "an important stub stays",
      "||a.com^\nads$redirect-rule=noopjs,important\n"
      "@@ads$redirect-rule",
      "script", "", "http://a.com/ads", "redirect 1 noopjs" },
    { "... but for an important exception",
      "||a.com^\nads$redirect-rule=noopjs,important\n"
      "@@ads$redirect-rule,important",
      "script", "", "http://a.com/ads", "block 1" },
    { "all stubs taken off", "||a.com^\nads$redirect-rule=noopjs\n@@ads$redirect-rule", "script",
      "", "http://a.com/ads", "block 1" },
    { "another stub taken off", "||a.com^\nads$redirect-rule=noopjs\n@@ads$redirect-rule=x",
      "script", "", "http://a.com/ads", "redirect 1 noopjs" },
    { "the stub none", "||a.com^\nads$redirect-rule=none:9", "script", "", "http://a.com/ads",
      "block 1" },
    // no URLs
    { "no URL", "ads", "script", "", "ads", "pass" },
    { "an empty one", "ads", "script", "", "", "pass" },
};

static void asks_for_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        struct request request = { .url = span_text(asks[i].url),
                                   .source = span_text(asks[i].source) };
        struct verdict verdict;
        struct rule_view view;
        struct rules rules;
        char got[200], any_line[300];
        int size;

        assert_true(request_type_of(span_text(asks[i].type), &request.type));
        rules_open(&rules, asks[i].rules);
        matcher_ask(rules.matcher, &request, &verdict);
        size = snprintf(got, sizeof got, "%s", words[verdict.action]);
        snprintf(any_line, sizeof any_line, "%s * %.*s", got, SPAN_PRINT(verdict.redirect));
        if (database_rule(rules.database, verdict.rule, &view))
            size += snprintf(got + size, sizeof got - (size_t)size, " %u", view.line);
        if (verdict.redirect.size)
            snprintf(got + size, sizeof got - (size_t)size, " %.*s", SPAN_PRINT(verdict.redirect));
        if (strcmp(got, asks[i].want) != 0 && strcmp(any_line, asks[i].want) != 0)
            fail_msg("%s: %s", asks[i].name, got);
        rules_close(&rules);
    }
}

static void party_by_word(void **state)
{
    static const struct {
        enum party party;
        const char *source;
        bool is_third;
    } rows[] = {
        { PARTY_BY_SOURCE, "", false },
        { PARTY_FIRST, "", false },
        { PARTY_THIRD, "", true },
        { PARTY_FIRST, "http://b.com/", true },
        { PARTY_THIRD, "http://x.a.com/", false }, // the source knows better
    };
    struct rules rules;

    (void)state;
    rules_open(&rules, "ads$3p");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = SPAN("http://a.com/ads"),
                                   .source = span_text(rows[i].source),
                                   .type = TYPE_SCRIPT,
                                   .party = rows[i].party };
        struct verdict verdict;

        matcher_ask(rules.matcher, &request, &verdict);
        if ((verdict.action == VERDICT_BLOCK) != rows[i].is_third)
            fail_msg("row %zu: %d", i, verdict.action);
    }
    rules_close(&rules);
}

static struct span field(void *owner, struct span name, unsigned number)
{
    (void)owner;
    if (!span_equal_nocase(name, SPAN("x-ads")) || number > 1)
        return SPAN_NONE;
    return number == 0 ? SPAN("Top; Level=1") : SPAN("second");
}

static const struct {
    const char *rule, *method, *client, *name, *address;
    bool blocks; // by matcher_ask, matcher_address or matcher_response, as the rule asks for
} conditions[] = {
    { "ads$method=post", "POST", "", "", "", true },
    { "ads$method=post", "GET", "", "", "", false },
    { "ads$method=post", "", "", "", "", false },
    { "ads$method=~post", "GET", "", "", "", true },
    { "ads$method=~post", "POST", "", "", "", false },
    { "ads$client=192.0.2.0/24", "", "192.0.2.255", "", "", true },
    { "ads$client=192.0.2.0/24", "", "192.0.3.0", "", "", false },
    { "ads$client=192.0.2.0/24", "", "", "", "", false },
    { "ads$client=alice", "", "192.0.2.1", "Alice", "", true },
    { "ads$client=~alice", "", "192.0.2.1", "alice", "", false },
    { "ads$client=~alice", "", "192.0.2.1", "bob", "", true },
    { "ads$client='alice'|'bob'", "", "192.0.2.1", "bob", "", true },
    { "ads$client='Frank\\'s \\| laptop'|bob", "", "192.0.2.1", "frank's | laptop", "", true },
    { "ads$client='Frank\\'s laptop'", "", "192.0.2.1", "frank", "", false },
    { "ads$client=192.0.2.0/24|~192.0.2.7", "", "192.0.2.7", "", "", false },
    { "ads$client=~192.0.2.7|192.0.2.0/24", "", "192.0.2.7", "", "", false },
    { "ads$client=2001:db8::/32", "", "2001:db8::1", "", "", true },
    { "ads$ipaddress=127.0.0.1", "", "", "", "127.0.0.1", true },
    { "ads$ipaddress=127.0.0.1", "", "", "", "::ffff:127.0.0.1", true },
    { "ads$ipaddress=lan", "", "", "", "10.1.2.3", true },
    { "ads$ipaddress=lan", "", "", "", "11.1.2.3", false },
    { "ads$ipaddress=lan", "", "", "", "127.0.0.1", true },
    { "ads$ipaddress=lan", "", "", "", "::1", true },
    { "ads$ipaddress=lan", "", "", "", "::2", false },
    { "ads$ipaddress=lan", "", "", "", "172.31.255.255", true },
    { "ads$ipaddress=lan", "", "", "", "172.32.0.0", false },
    { "ads$ipaddress=lan", "", "", "", "fd00::1", true },
    { "ads$ipaddress=lan", "", "", "", "fe80::1", true },
    { "ads$ipaddress=192.0.2.*", "", "", "", "192.0.2.9", true },
    { "ads$ipaddress=loopback", "", "", "", "10.0.0.1", false },
    { "ads$ipaddress=loopback", "", "", "", "::1", true },
    { "ads$ipaddress=/^10\\./", "", "", "", "10.0.0.1", true },
    { "ads$header=x-ads", "", "", "", "", true },
    { "ads$header=X-Ads", "", "", "", "", true },
    { "ads$header=x-other", "", "", "", "", false },
    { "ads$header=x-other:~level", "", "", "", "", false },
    { "ads$header=x-ads:level", "", "", "", "", true },
    { "ads$header=x-ads:~level", "", "", "", "", false },
    { "ads$header=x-ads:~other", "", "", "", "", true },
    { "ads$header=x-ads:/Level=\\d$/", "", "", "", "", true },
    { "ads$header=x-ads:/LEVEL=\\d$/", "", "", "", "", false },
    { "ads$header=x-ads:/LEVEL=\\d$/i", "", "", "", "", true },
    { "ads$header=x-ads:/^Top\\, Level/", "", "", "", "", false },
    { "ads$header=x-ads:/^T[op]{1\\,2};/", "", "", "", "", true },
    { "ads$header=x-ads:top*1", "", "", "", "", true },
    { "ads$header=x-ads:op*level", "", "", "", "", true },
    { "ads$header=x-ads:top*2", "", "", "", "", false },
    { "ads$header=x-ads:l?vel", "", "", "", "", true },
    { "ads$header=x-ads:second", "", "", "", "", true }, // the other field of that name
    { "ads$header=x-ads:/^second$/", "", "", "", "", true },
    { "ads$header=x-ads:~second", "", "", "", "", false },
    { "ads$requestheader=x-ads:top", "", "", "", "", true },
    { "ads$requestheader=x-other", "", "", "", "", false },
};

static void asks_for_conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        struct request request = { .url = SPAN("http://a.com/ads"),
                                   .type = TYPE_SCRIPT,
                                   .method = span_text(conditions[i].method),
                                   .client = span_text(conditions[i].client),
                                   .client_name = span_text(conditions[i].name),
                                   .address = span_text(conditions[i].address),
                                   .request_field = field,
                                   .response_field = field };
        bool is_late =
            strstr(conditions[i].rule, "$header") || strstr(conditions[i].rule, "ipaddress");
        struct verdict verdict, late;
        struct rules rules;

        rules_open(&rules, conditions[i].rule);
        matcher_ask(rules.matcher, &request, &verdict);
        (strstr(conditions[i].rule, "ipaddress") ? matcher_address : matcher_response)(
            rules.matcher, &request, &late);
        if ((verdict.action == VERDICT_BLOCK) != (conditions[i].blocks && !is_late) ||
            (late.action == VERDICT_BLOCK) != (conditions[i].blocks && is_late))
            fail_msg("%s, row %zu: %s, late %s", conditions[i].rule, i, words[verdict.action],
                     words[late.action]);
        rules_close(&rules);
    }
}

static void late_rules_know_exceptions(void **state)
{
    static const struct {
        const char *rules, *want;
    } rows[] = {
        { "ads$ipaddress=127.0.0.1\n@@ads", "exception" },
        { "ads$ipaddress=127.0.0.1\n@@ads$ipaddress=127.0.0.1", "exception" },
        { "ads$ipaddress=127.0.0.1\n@@ads$ipaddress=127.0.0.2", "block" },
        { "ads$ipaddress=127.0.0.1,important\n@@ads", "block" },
        { "ads$ipaddress=127.0.0.1,redirect=noopjs", "redirect" },
        { "ads$ipaddress=127.0.0.1,redirect=noopjs\n@@ads$redirect", "block" },
        { "ads$ipaddress=127.0.0.1\nads$redirect-rule=noopjs", "redirect" },
        { "ads$ipaddress=127.0.0.1,redirect-rule=noopjs", "pass" },
        { "ads$ipaddress=127.0.0.1\nads$ipaddress=127.0.0.1,redirect-rule=noopjs", "redirect" },
        { "ads\n@@ads$ipaddress=127.0.0.1", "pass" }, // was for matcher_ask()
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = SPAN("http://a.com/ads"),
                                   .type = TYPE_SCRIPT,
                                   .address = SPAN("127.0.0.1") };
        struct verdict verdict;
        struct rules rules;

        rules_open(&rules, rows[i].rules);
        matcher_address(rules.matcher, &request, &verdict);
        if (strcmp(words[verdict.action], rows[i].want) != 0)
            fail_msg("row %zu: %s", i, words[verdict.action]);
        rules_close(&rules);
    }
}

static void asks_at_connect(void **state)
{
    static const struct {
        const char *rules, *host, *want;
    } rows[] = {
        { "||ads.example^", "ads.example", "block" },
        { "||ads.example^", "x.Ads.example", "block" },
        { "||ads.example^", "example", "pass" },
        { "||ads.example^$script", "ads.example", "pass" },
        { "||ads.example^$all", "ads.example", "pass" }, // may be lifted for some
        { "||ads.example^$third-party", "ads.example", "pass" },
        { "||ads.example/x", "ads.example", "pass" },
        { "||ads.example^\n@@||ads.example^", "ads.example", "exception" },
        { "||ads.example^\n@@||x.ads.example^", "x.ads.example", "exception" },
        { "||ads.example^\n@@||x.ads.example^", "ads.example", "block" },
        { "||ads.example^\n@@||ads.example^$script", "ads.example", "block" },
        { "||ads.example^$important\n@@||ads.example^", "ads.example", "block" },
        { "||ads.example^$important\n@@||ads.example^$important", "ads.example", "exception" },
        { "||[::1]^", "[::1]", "block" },
        { "||com^", "a.com", "block" },
        { "||ads.example^", "", "pass" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict verdict;
        struct rules rules;

        rules_open(&rules, rows[i].rules);
        matcher_connect(rules.matcher, span_text(rows[i].host), &verdict);
        if (strcmp(words[verdict.action], rows[i].want) != 0)
            fail_msg("%s, %s: %s", rows[i].rules, rows[i].host, words[verdict.action]);
        rules_close(&rules);
    }
}

static void asks_by_another_name(void **state)
{
    static const struct {
        const char *name, *rules, *alias, *type, *want;
    } rows[] = {
        { "the alias is blocked", "||tracker.com^", "tracker.com", "script", "block" },
        { "a path counts, too", "||tracker.com:81/Ads$match-case", "tracker.com", "script",
          "block" },
        { "another alias", "||tracker.com^", "cdn.com", "script", "pass" },
        { "of the same party", "||x.a.com^", "x.a.com", "script", "pass" },
        { "page visits are not asked", "||tracker.com^", "tracker.com", "document", "pass" },
        { "exempt", "||tracker.com^\n@@||a.com^$cname", "tracker.com", "script", "pass" },
        { "an exception for the alias", "||tracker.com^\n@@||tracker.com^", "tracker.com", "script",
          "exception" },
        { "no alias", "||tracker.com^", "", "script", "pass" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = SPAN("http://shop.a.com:81/Ads?x") };
        struct verdict verdict;
        struct rules rules;

        assert_true(request_type_of(span_text(rows[i].type), &request.type));
        rules_open(&rules, rows[i].rules);
        matcher_name(rules.matcher, &request, span_text(rows[i].alias), &verdict);
        if (strcmp(words[verdict.action], rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].name, words[verdict.action]);
        rules_close(&rules);
    }
}

static void tells_of_pages(void **state)
{
    static const struct {
        const char *rules, *url;
        unsigned flags;
    } rows[] = {
        { "@@||a.com^$document", "http://a.com/", PAGE_ALL },
        { "@@||a.com^$document", "http://b.com/", 0 },
        { "@@||a.com^$ghide\n@@||a.com^$elemhide", "http://a.com/",
          PAGE_GENERICHIDE | PAGE_ELEMHIDE },
        { "@@||a.com^$urlblock,jsinject", "http://a.com/", PAGE_URLBLOCK | PAGE_JSINJECT },
        { "@@||a.com^$genericblock,specifichide", "http://a.com/",
          PAGE_GENERICBLOCK | PAGE_SPECIFICHIDE },
        { "@@||a.com^", "http://a.com/", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request page = { .url = span_text(rows[i].url), .type = TYPE_DOCUMENT };
        struct rules rules;
        unsigned flags;

        rules_open(&rules, rows[i].rules);
        flags = matcher_page(rules.matcher, &page);
        if (flags != rows[i].flags)
            fail_msg("%s: %x", rows[i].rules, flags);
        rules_close(&rules);
    }
}

static void exempts_by_page(void **state)
{
    static const struct {
        const char *exception, *rule, *page;
        bool is_exempt;
    } rows[] = {
        { "@@||a.com^$document", "||ads.com^", "http://a.com/x", true },
        { "@@||a.com^$document", "||ads.com^", "a.com", true },
        { "@@||a.com^$document", "||ads.com^", "b.com", false },
        { "@@||a.com^$document", "||ads.com^$important", "a.com", false },
        { "@@||a.com^$document,important", "||ads.com^$important", "a.com", true },
        { "@@||a.com^$genericblock", "||ads.com^$domain=~b.com", "a.com", true },
        { "@@||a.com^$genericblock", "||ads.com/?domain=", "a.com", true },
        { "@@||a.com^$document", "||ads.com^", "", false },
        { "@@||a.com^$urlblock", "||ads.com^", "a.com", true },
        { "@@||a.com^$genericblock", "||ads.com^", "a.com", true },
        { "@@||a.com^$genericblock", "||ads.com^$domain=a.com", "a.com", false },
        { "@@||a.com^$ghide", "||ads.com^", "a.com", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = SPAN("http://ads.com/?domain="),
                                   .source = SPAN("a.com"),
                                   .type = TYPE_SCRIPT };
        rule_number numbers[4];
        struct verdict verdict;
        struct rules rules;
        char text[200];

        snprintf(text, sizeof text, "%s\n%s", rows[i].rule, rows[i].exception);
        rules_open(&rules, text);
        matcher_ask(rules.matcher, &request, &verdict);
        if (matcher_page_exempts(rules.matcher, span_text(rows[i].page), verdict.rule) !=
            rows[i].is_exempt)
            fail_msg("row %zu", i);
        if (rows[i].is_exempt)
            assert_int_equal(matcher_page_rules(rules.matcher, span_text(rows[i].page), numbers, 4),
                             1);
        rules_close(&rules);
    }
}

static const struct {
    const char *name, *rules, *type, *url, *want; // "line:value " of each
} directives[] = {
    { "in the order of lines", "||a.com^$csp=x\n$csp=y,document\n||a.com^$csp=z", "document",
      "http://a.com/", "1:x 2:y 3:z " },
    { "the same once", "||a.com^$csp=x\n|http:$csp=x", "document", "http://a.com/", "1:x " },
    { "lifted", "||a.com^$csp=x\n@@a$csp=x", "document", "http://a.com/", "" },
    { "all lifted", "||a.com^$csp=x\n||a.com^$csp=y\n@@a$csp", "document", "http://a.com/", "" },
    { "another kind lifted", "||a.com^$csp=x\n@@a$permissions", "document", "http://a.com/",
      "1:x " },
    { "important is not lifted", "||a.com^$csp=x,important\n@@a$csp", "document", "http://a.com/",
      "1:x " },
    { "but by what is important, too", "||a.com^$csp=x,important\n@@a$csp,important", "document",
      "http://a.com/", "" },
    { "by pages of its own", "$csp=x,domain=a.com\n$csp=y,domain=b.com", "document",
      "http://a.com/", "1:x " },
    { "cookies that stay", "||a.com^$cookie\n@@a$cookie=uid", "image", "http://a.com/",
      "1: !2:uid " },
    { "... of no rule", "@@a$cookie=uid", "image", "http://a.com/", "" },
    { "... or of one that is lifted", "||a.com^$cookie=uid\n@@a$cookie=uid", "image",
      "http://a.com/", "" },
    { "negated types", "||a.com^$~image,removeheader=x", "image", "http://a.com/", "" },
    { "by negated types", "||a.com^$~image,removeheader=x", "font", "http://a.com/", "1:x " },
    { "for scripts", "||a.com^$csp=x", "script", "http://a.com/", "" },
    { "removeparam", "$removeparam=utm", "document", "http://a.com/?utm=1", "1:utm " },
    { "removeheader", "||a.com^$removeheader=x", "image", "http://a.com/", "1:x " },
    { "a blocking rule is none", "||a.com^", "image", "http://a.com/", "" },
};

static void lists_directives(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++) {
        struct request request = { .url = span_text(directives[i].url) };
        struct buffer out = { .limit_bytes = 1000 };
        struct directive found[8];
        struct rules rules;
        size_t count;

        assert_true(request_type_of(span_text(directives[i].type), &request.type));
        rules_open(&rules, directives[i].rules);
        count = matcher_directives(rules.matcher, &request, DIRECTIVES_ALL, found, 8);
        for (size_t k = 0; k < count; k++) {
            struct rule_view view;
            assert_true(database_rule(rules.database, found[k].rule, &view));
            buffer_printf(&out, "%s%u:%.*s ", found[k].is_exception ? "!" : "", view.line,
                          SPAN_PRINT(found[k].value));
        }
        if (!span_equal(buffer_span(&out), span_text(directives[i].want)))
            fail_msg("%s: %.*s", directives[i].name, SPAN_PRINT(buffer_span(&out)));
        assert_int_equal(matcher_directives(rules.matcher, &request, 0, found, 8), 0);
        buffer_release(&out);
        rules_close(&rules);
    }
}

/* Rules that ask for what only the answer tells are waited for. */
static void directives_that_wait(void **state)
{
    static const struct {
        const char *rule;
        bool waits, holds; // holds: when all is known
    } rows[] = {
        { "||a.com^$removeheader=x", false, true },
        { "||a.com^$removeheader=x,header=x-ads:top", true, true },
        { "||a.com^$removeheader=x,header=x-ads:bottom", true, false },
        { "||a.com^$removeheader=x,ipaddress=127.0.0.1", true, true },
        { "||a.com^$removeheader=x,ipaddress=127.0.0.2", true, false },
        { "||a.com^$removeheader=x,ipaddress=127.0.0.1,header=x-ads:top", true, true },
        { "||b.com^$removeheader=x,header=x-ads:top", false, false },
        { "||a.com^$removeheader=x,domain=b.com,header=x-ads:top", false, false },
        { "||a.com^$removeheader=x,client=192.0.2.1,header=x-ads:top", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = SPAN("http://a.com/"), .type = TYPE_SCRIPT };
        struct directive found;
        struct rules rules;
        size_t count;

        rules_open(&rules, rows[i].rule);
        count = matcher_directives(rules.matcher, &request, DIRECTIVES_ALL, &found, 1);
        if (matcher_directives_wait(rules.matcher) != rows[i].waits ||
            count != (rows[i].holds && !rows[i].waits))
            fail_msg("%s: %zu before", rows[i].rule, count);
        request.address = SPAN("127.0.0.1");
        request.response_field = field;
        count = matcher_directives(rules.matcher, &request, DIRECTIVES_ALL, &found, 1);
        if (matcher_directives_wait(rules.matcher) || count != rows[i].holds)
            fail_msg("%s: %zu behind", rows[i].rule, count);
        rules_close(&rules);
    }
}

static void pages_that_are_free(void **state)
{
    static const struct {
        const char *rules, *page;
        bool is_free;
    } rows[] = {
        { "@@||a.com^$document", "http://a.com/x", true },
        { "@@||a.com^$document", "a.com", true },
        { "@@||a.com^$document", "b.com", false },
        { "@@||a.com^$urlblock", "a.com", false },
        { "@@||a.com^$document", "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rules rules;

        rules_open(&rules, rows[i].rules);
        if (matcher_page_is_free(rules.matcher, span_text(rows[i].page)) != rows[i].is_free)
            fail_msg("row %zu", i);
        rules_close(&rules);
    }
}

/* As many as there is room for, and no more than DIRECTIVES_LIMIT at all. */
static void limits_of_directives(void **state)
{
    struct request request = { .url = SPAN("http://a.com/"), .type = TYPE_DOCUMENT };
    static struct directive found[DIRECTIVES_LIMIT + 10];

    (void)state;
    for (unsigned count = DIRECTIVES_LIMIT - 1; count <= DIRECTIVES_LIMIT + 1; count++) {
        struct buffer text = { .limit_bytes = 1 << 20 };
        struct rules rules;

        for (unsigned i = 0; i < count; i++)
            buffer_printf(&text, "||a.com^$csp=x%u\n", i);
        buffer_append(&text, SPAN("\0"));
        rules_open(&rules, text.at);
        assert_int_equal(matcher_directives(rules.matcher, &request, DIRECTIVES_ALL, found,
                                            DIRECTIVES_LIMIT + 10),
                         count > DIRECTIVES_LIMIT ? DIRECTIVES_LIMIT : count);
        assert_int_equal(matcher_directives(rules.matcher, &request, DIRECTIVES_ALL, found, 3), 3);
        rules_close(&rules);
        buffer_release(&text);
    }
}

static void explains(void **state)
{
    struct request request = { .url = SPAN("http://a.com/ads?utm=1"),
                               .source = SPAN("http://b.com/"),
                               .type = TYPE_DOCUMENT };
    static const unsigned want[] = { 1, 2, 4, 5, 6 };
    rule_number found[10];
    struct rules rules;

    (void)state;
    rules_open(&rules, "||a.com^\nads$document\nads$script\n@@||a.com^$all\n$removeparam=utm\n||a."
                       "com^$csp=x\nzzz$all");
    assert_int_equal(matcher_explain(rules.matcher, &request, found, 10), 5);
    for (size_t i = 0; i < 5; i++) {
        struct rule_view view;
        assert_true(database_rule(rules.database, found[i], &view));
        assert_int_equal(view.line, want[i]);
    }
    assert_int_equal(matcher_explain(rules.matcher, &request, found, 2), 5);
    rules_close(&rules);
}

static void without_a_database(void **state)
{
    struct matcher *matcher = matcher_new(NULL);
    struct request request = { .url = SPAN("http://ads.example/"), .type = TYPE_SCRIPT };
    struct directive directive;
    struct verdict verdict;
    rule_number number;
    struct rules rules;

    (void)state;
    matcher_ask(matcher, &request, &verdict);
    assert_int_equal(verdict.action, VERDICT_PASS);
    matcher_connect(matcher, SPAN("ads.example"), &verdict);
    assert_int_equal(verdict.action, VERDICT_PASS);
    matcher_name(matcher, &request, SPAN("b.example"), &verdict);
    assert_int_equal(verdict.action, VERDICT_PASS);
    assert_int_equal(matcher_directives(matcher, &request, DIRECTIVES_ALL, &directive, 1), 0);
    assert_int_equal(matcher_page(matcher, &request), 0);
    assert_int_equal(matcher_explain(matcher, &request, &number, 1), 0);
    assert_null(matcher_database(matcher));

    rules_open(&rules, "||ads.example^"); // given later, and taken away again
    matcher_use(matcher, rules.database);
    matcher_ask(matcher, &request, &verdict);
    assert_int_equal(verdict.action, VERDICT_BLOCK);
    matcher_use(matcher, NULL);
    matcher_ask(matcher, &request, &verdict);
    assert_int_equal(verdict.action, VERDICT_PASS);
    matcher_free(&matcher);
    assert_null(matcher);
    rules_close(&rules);
}

/* The first URL_LIMIT bytes count; for regular expressions, the first 16 kB. */
static void limits_of_urls(void **state)
{
    static const struct {
        const char *rule;
        size_t limit;
    } rows[] = { { "/xyzzy/*", URL_LIMIT }, { "/xyzzy/", 16384 } };
    static char url[URL_LIMIT + 10];

    (void)state;
    memcpy(url, "http://h/", 9);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request request = { .url = span_of(url, sizeof url), .type = TYPE_SCRIPT };
        struct rules rules;

        rules_open(&rules, rows[i].rule);
        for (size_t end = rows[i].limit - 1; end <= rows[i].limit + 2; end++) {
            struct verdict verdict;

            memset(url + 9, 'a', sizeof url - 9);
            memcpy(url + end - 7, i == 0 ? "/xyzzy/" : "aaxyzzy", 7);
            matcher_ask(rules.matcher, &request, &verdict);
            if ((verdict.action == VERDICT_BLOCK) != (end <= rows[i].limit))
                fail_msg("%s up to %zu", rows[i].rule, end);
        }
        rules_close(&rules);
    }
}

/* Of more than 16 stubs for one request, one is taken all the same. */
static void limits_of_stubs(void **state)
{
    struct request request = { .url = SPAN("http://a.com/ads"), .type = TYPE_SCRIPT };

    (void)state;
    for (unsigned count = 16; count <= 17; count++)
        for (unsigned best = 0; best < count; best++) {
            struct buffer text = { .limit_bytes = 10000 };
            struct verdict verdict;
            struct rules rules;
            char want[20];

            for (unsigned i = 0; i < count; i++)
                (void)buffer_printf(&text, "ads$redirect=stub%u:%d\n", i, i == best ? 9 : 1);
            (void)buffer_append(&text, SPAN("\0"));
            rules_open(&rules, text.at);
            matcher_ask(rules.matcher, &request, &verdict);
            snprintf(want, sizeof want, "stub%u", best);
            assert_int_equal(verdict.action, VERDICT_REDIRECT);
            if (count <= 16 && !span_equal(verdict.redirect, span_text(want)))
                fail_msg("%s: %.*s", want, SPAN_PRINT(verdict.redirect));
            rules_close(&rules);
            buffer_release(&text);
        }
}

/* Questions are numbered with 16 bits: none is answered by what failed long before. */
static void many_questions(void **state)
{
    struct request yes = { .url = SPAN("http://a.com/x/ads/y"), .type = TYPE_SCRIPT };
    struct request no = { .url = SPAN("http://a.com/x/adz/y"), .type = TYPE_SCRIPT };
    struct verdict verdict;
    struct rules rules;

    (void)state;
    rules_open(&rules, "/x/*ads^y\n/x\\/ad[a-s]\\/z/");
    for (unsigned i = 0; i < 3 * 65536 + 5; i++) {
        matcher_ask(rules.matcher, &no, &verdict);
        if (verdict.action != VERDICT_PASS)
            fail_msg("question %u", i);
        if (i % 21845 < 3) {
            matcher_ask(rules.matcher, &yes, &verdict);
            if (verdict.action != VERDICT_BLOCK)
                fail_msg("question %u, yes", i);
        }
    }
    rules_close(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_verdicts),
        cmocka_unit_test(party_by_word),
        cmocka_unit_test(asks_for_conditions),
        cmocka_unit_test(late_rules_know_exceptions),
        cmocka_unit_test(asks_at_connect),
        cmocka_unit_test(asks_by_another_name),
        cmocka_unit_test(tells_of_pages),
        cmocka_unit_test(exempts_by_page),
        cmocka_unit_test(lists_directives),
        cmocka_unit_test(directives_that_wait),
        cmocka_unit_test(pages_that_are_free),
        cmocka_unit_test(limits_of_directives),
        cmocka_unit_test(explains),
        cmocka_unit_test(without_a_database),
        cmocka_unit_test(limits_of_urls),
        cmocka_unit_test(limits_of_stubs),
        cmocka_unit_test(many_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
