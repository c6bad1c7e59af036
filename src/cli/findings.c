#include "cli/findings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "cli/say.h"
#include "filter/amend.h"
#include "filter/rule.h"

enum { RULES = 1000 }; // of one request that are shown

enum role { // what a rule that matches does here
    ROLE_BLOCKS,
    ROLE_ALLOWS,
    ROLE_OVERRIDDEN, // would have stopped it
    ROLE_OUTVOTED,   // would have let it through
    ROLE_STUB,
    ROLE_CHANGES,
    ROLE_PAGE, // exempts the page that asks
    ROLE_IDLE, // matches, and does nothing
};

static const struct {
    const char *name, *text;
} roles[] = {
    [ROLE_BLOCKS] = { "blocks", "blocks it" },
    [ROLE_ALLOWS] = { "allows", "lets it through" },
    [ROLE_OVERRIDDEN] = { "overridden", "would block it" },
    [ROLE_OUTVOTED] = { "outvoted", "would let it through, but `important` wins" },
    [ROLE_STUB] = { "stub", "names what it is answered with" },
    [ROLE_CHANGES] = { "changes", NULL },
    [ROLE_PAGE] = { "page", "exempts the page that asks" },
    [ROLE_IDLE] = { "idle", "matches as well" },
};

static const char *const changes[DIRECTIVES] = {
    [DIRECTIVE_REMOVEPARAM] = "takes parameters out of the URL",
    [DIRECTIVE_URLSKIP] = "goes straight to where the URL leads",
    [DIRECTIVE_URITRANSFORM] = "changes the URL",
    [DIRECTIVE_REPLACE] = "changes the text of the answer",
    [DIRECTIVE_CSP] = "adds a Content-Security-Policy",
    [DIRECTIVE_PERMISSIONS] = "adds a Permissions-Policy",
    [DIRECTIVE_REFERRERPOLICY] = "sets the Referrer-Policy",
    [DIRECTIVE_REMOVEHEADER] = "takes out a header field",
    [DIRECTIVE_COOKIE] = "takes out or changes cookies",
    [DIRECTIVE_JSONPRUNE] = "takes parts out of JSON",
    [DIRECTIVE_XMLPRUNE] = "takes parts out of XML",
    [DIRECTIVE_INLINE_SCRIPT] = "forbids inline scripts",
    [DIRECTIVE_INLINE_FONT] = "forbids inline fonts",
};

struct finding {
    rule_number number;
    enum role role;
    const char *change; // ROLE_CHANGES: what
};

struct findings {
    struct database *database;
    const struct request *request;
    struct matcher *matcher;
    struct amender *amender;
    struct verdict verdict;
    enum outcome outcome;
    bool page_is_exempt;
    struct buffer new_url; // empty: it stays
    struct directive directives[DIRECTIVES_LIMIT];
    size_t directive_count;
    struct finding items[RULES];
    size_t count;
};

/* ---- asking ---- */

static bool is_stopped(const struct findings *findings)
{
    return findings->verdict.action >= VERDICT_BLOCK && !findings->page_is_exempt;
}

/* Where the directive leads a page visit, if it is one. */
static bool skips(const struct findings *findings, const struct directive *directive,
                  struct buffer *to)
{
    return directive->kind == DIRECTIVE_URLSKIP && findings->request->type == TYPE_DOCUMENT &&
           amend_skip(findings->amender, findings->request->url, directive->value,
                      is_stopped(findings), to);
}

/* Does the directive do anything to this request, as far as its URL tells? */
static bool is_felt(const struct findings *findings, const struct directive *directive)
{
    const struct request *request = findings->request;
    struct buffer made = { 0 };
    bool is_felt = !directive->is_exception;

    if (directive->kind != DIRECTIVE_URLSKIP && is_stopped(findings))
        return false;
    if (directive->kind == DIRECTIVE_URLSKIP)
        is_felt = skips(findings, directive, &made);
    else if (directive->kind == DIRECTIVE_REMOVEPARAM || directive->kind == DIRECTIVE_URITRANSFORM)
        is_felt = amend_url(findings->amender, request->url, directive, 1, &made);
    buffer_release(&made);
    return is_felt;
}

/* In the order in which a proxy does it: where urlskip leads, or the URL changed. */
static void find_new_url(struct findings *findings)
{
    for (size_t i = 0; i < findings->directive_count; i++)
        if (skips(findings, &findings->directives[i], &findings->new_url))
            return;
    if (!is_stopped(findings))
        amend_url(findings->amender, findings->request->url, findings->directives,
                  findings->directive_count, &findings->new_url);
}

static struct finding *find(struct findings *findings, rule_number number)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->items[i].number == number)
            return &findings->items[i];
    return NULL;
}

static void set_role(struct findings *findings, rule_number number, enum role role)
{
    struct finding *finding = find(findings, number);

    if (finding)
        finding->role = role;
}

/* A rule that takes out parameters matches only a URL that has such. */
static bool lacks_parameters(struct findings *findings, rule_number number)
{
    struct directive directive = { .kind = DIRECTIVE_REMOVEPARAM, .rule = number };
    struct buffer made = { 0 };
    struct rule_view view;
    struct rule rule;
    bool has;

    if (!database_rule(findings->database, number, &view))
        return false;
    rule_parse(&rule, view.text);
    if (rule.modifier != MODIFIER_REMOVEPARAM || rule.is_exception)
        return false;
    directive.value = rule.value;
    has = amend_url(findings->amender, findings->request->url, &directive, 1, &made);
    buffer_release(&made);
    return !has;
}

static void list_rules(struct findings *findings)
{
    rule_number numbers[RULES];
    size_t count = matcher_explain(findings->matcher, findings->request, numbers, RULES);

    for (size_t i = 0; i < count && i < RULES; i++)
        if (!lacks_parameters(findings, numbers[i]))
            findings->items[findings->count++] =
                (struct finding){ .number = numbers[i], .role = ROLE_IDLE };
}

/* The exceptions that exempt the page; they match the page, not the request. */
static void list_page_rules(struct findings *findings)
{
    rule_number numbers[DIRECTIVES_LIMIT];
    size_t count =
        matcher_page_rules(findings->matcher, findings->request->source, numbers, DIRECTIVES_LIMIT);

    for (size_t i = 0; i < count && i < DIRECTIVES_LIMIT && findings->count < RULES; i++) {
        if (find(findings, numbers[i]))
            set_role(findings, numbers[i], ROLE_PAGE);
        else
            findings->items[findings->count++] =
                (struct finding){ .number = numbers[i], .role = ROLE_PAGE };
    }
}

/* Exceptions that a rule with `important` beats. */
static void find_outvoted(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        struct rule_view view;
        struct rule rule;

        if (findings->items[i].role != ROLE_IDLE ||
            !database_rule(findings->database, findings->items[i].number, &view))
            continue;
        rule_parse(&rule, view.text);
        if (rule.is_exception && rule.modifier == MODIFIER_NONE)
            findings->items[i].role = ROLE_OUTVOTED;
    }
}

static void find_verdict(struct findings *findings)
{
    struct verdict *verdict = &findings->verdict;

    matcher_ask(findings->matcher, findings->request, verdict);
    if (verdict->action >= VERDICT_BLOCK)
        findings->page_is_exempt =
            matcher_page_exempts(findings->matcher, findings->request->source, verdict->rule);
    if (findings->page_is_exempt) {
        set_role(findings, verdict->rule, ROLE_OVERRIDDEN);
        list_page_rules(findings);
        return;
    }
    if (verdict->action >= VERDICT_BLOCK)
        findings->outcome =
            verdict->action == VERDICT_REDIRECT ? OUTCOME_MODIFIED : OUTCOME_BLOCKED;
    if (verdict->redirect_rule)
        set_role(findings, verdict->redirect_rule, ROLE_STUB);
    set_role(findings, verdict->overridden, ROLE_OVERRIDDEN);
    set_role(findings, verdict->rule,
             verdict->action == VERDICT_EXCEPTION ? ROLE_ALLOWS : ROLE_BLOCKS);
    if (verdict->action >= VERDICT_BLOCK)
        find_outvoted(findings);
}

static void find_changes(struct findings *findings)
{
    const struct request *request = findings->request;
    bool is_visit = request->type == TYPE_DOCUMENT;

    if (matcher_page_is_free(findings->matcher, is_visit ? request->url : request->source))
        return;
    findings->directive_count =
        matcher_directives(findings->matcher, findings->request, DIRECTIVES_ALL,
                           findings->directives, DIRECTIVES_LIMIT);
    for (size_t i = 0; i < findings->directive_count; i++) {
        const struct directive *directive = &findings->directives[i];
        struct finding *finding = find(findings, directive->rule);

        if (!is_felt(findings, directive))
            continue;
        findings->outcome = OUTCOME_MODIFIED;
        if (finding) {
            finding->role = ROLE_CHANGES;
            finding->change = changes[directive->kind];
        }
    }
    find_new_url(findings);
}

struct findings *findings_new(struct database *database, const struct request *request)
{
    struct findings *findings = calloc(1, sizeof *findings);

    if (!findings)
        abort(); // out of memory
    findings->database = database;
    findings->request = request;
    findings->matcher = matcher_new(database);
    findings->amender = amender_new();
    list_rules(findings);
    find_verdict(findings);
    find_changes(findings);
    return findings;
}

void findings_free(struct findings **findings)
{
    struct findings *old = *findings;

    *findings = NULL;
    if (!old)
        return;
    buffer_release(&old->new_url);
    amender_free(&old->amender);
    matcher_free(&old->matcher);
    free(old);
}

enum outcome findings_outcome(const struct findings *findings)
{
    return findings->outcome;
}

/* ---- text ---- */

static void put(struct span text)
{
    char shown[RULE_TEXT_LIMIT];

    fputs(log_text(shown, sizeof shown, text), stdout);
}

static void show_rule(const struct findings *findings, const struct finding *finding)
{
    struct rule_view view;
    bool matters = finding->role != ROLE_IDLE;

    if (!database_rule(findings->database, finding->number, &view))
        return;
    printf("\n  %s", matters ? say_bold(stdout) : "");
    put(view.text);
    printf("%s%s\n      ", view.is_cut ? "..." : "", matters ? say_plain(stdout) : "");
    put(view.list);
    printf(", line %u: %s\n", view.line,
           finding->role == ROLE_CHANGES ? finding->change : roles[finding->role].text);
}

static void show_outcome(const struct findings *findings)
{
    const struct verdict *verdict = &findings->verdict;

    printf("%s", say_bold(stdout));
    if (findings->page_is_exempt)
        printf("Allowed: the page that asks is exempt");
    else if (verdict->action == VERDICT_BLOCK && findings->new_url.size)
        printf("Blocked, and sent on to where its URL leads");
    else if (verdict->action == VERDICT_BLOCK)
        printf("Blocked");
    else if (verdict->action == VERDICT_REDIRECT)
        printf("Blocked, and answered with %.*s", SPAN_PRINT(verdict->redirect));
    else if (verdict->action == VERDICT_EXCEPTION)
        printf("Allowed by an exception");
    else
        printf("Allowed: no rule stops it");
    if (findings->outcome == OUTCOME_MODIFIED && !is_stopped(findings))
        printf("; changed on the way");
    printf("%s\n", say_plain(stdout));
}

void findings_show_text(const struct findings *findings)
{
    const struct request *request = findings->request;

    show_outcome(findings);
    printf("  %s ", request_type_name(request->type));
    put(request->url);
    if (request->source.size) {
        printf("\n  from ");
        put(request->source);
    }
    if (findings->new_url.size) {
        printf("\n  becomes ");
        put(buffer_span(&findings->new_url));
    }
    putchar('\n');
    for (int idle = 0; idle < 2; idle++) // what matters first
        for (size_t i = 0; i < findings->count; i++)
            if ((findings->items[i].role == ROLE_IDLE) == idle)
                show_rule(findings, &findings->items[i]);
}

/* ---- JSON ---- */

/* A string with its quotes, or null. Bytes that are no UTF-8 become U+FFFD. */
static void put_string(struct span text)
{
    if (!text.at) {
        printf("null");
        return;
    }
    putchar('"');
    while (text.size) {
        unsigned char c = (unsigned char)text.at[0];
        uint32_t code;
        size_t size = utf8_take(text, &code);

        if (size == 0)
            printf("\\ufffd");
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else
            fwrite(text.at, 1, size, stdout);
        text = span_from(text, size ? size : 1);
    }
    putchar('"');
}

static void put_member(const char *name, struct span value)
{
    printf(",\"%s\":", name);
    put_string(value.size ? value : SPAN_NONE);
}

static void put_rule(const struct findings *findings, rule_number number, const char *role,
                     const char *change)
{
    struct rule_view view;

    if (!database_rule(findings->database, number, &view)) {
        printf("null");
        return;
    }
    printf("{\"rule\":");
    put_string(view.text);
    put_member("list", view.list);
    printf(",\"line\":%u", view.line);
    if (role)
        put_member("role", span_text(role));
    if (change)
        put_member("change", span_text(change));
    putchar('}');
}

void findings_show_json(const struct findings *findings)
{
    static const char *const outcomes[] = { "allowed", "blocked", "modified" };
    static const char *const verdicts[] = {
        [VERDICT_PASS] = "allow",
        [VERDICT_EXCEPTION] = "exception",
        [VERDICT_BLOCK] = "block",
        [VERDICT_REDIRECT] = "redirect",
    };
    const struct request *request = findings->request;
    const struct verdict *verdict = &findings->verdict;

    printf("{\"outcome\":\"%s\",\"verdict\":\"%s\"", outcomes[findings->outcome],
           findings->page_is_exempt ? "exception" : verdicts[verdict->action]);
    put_member("url", request->url);
    put_member("type", span_text(request_type_name(request->type)));
    put_member("from", request->source);
    put_member("method", request->method);
    put_member("client", request->client.size ? request->client : request->client_name);
    put_member("redirect", verdict->redirect);
    put_member("new_url", buffer_span(&findings->new_url));
    printf(",\"decided_by\":");
    if (findings->page_is_exempt)
        printf("null"); // see the rules with the role "page"
    else
        put_rule(findings, verdict->rule, NULL, NULL);
    printf(",\"rules\":[");
    for (size_t i = 0; i < findings->count; i++) {
        if (i > 0)
            putchar(',');
        put_rule(findings, findings->items[i].number, roles[findings->items[i].role].name,
                 findings->items[i].change);
    }
    printf("]}\n");
}
