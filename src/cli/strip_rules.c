#include "cli/strip_rules.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/url.h"
#include "cli/say.h"
#include "filter/match.h"
#include "proxy/page_config.h"

struct strip_rules {
    struct database *database; // borrowed
    struct matcher *matcher;
    struct page_rules *rules;
    struct page *page; // NULL: nothing can touch it
    const char *url;
    unsigned flags;
    bool says_why;
    uint64_t changes;
};

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    (void)!fwrite(bytes.at, 1, bytes.size, stdout); // say_finish() tells
}

static void on_change(void *owner, const struct page_change *change)
{
    static const char *const words[] = { [PAGE_REMOVED] = "removed",
                                         [PAGE_HOLLOWED] = "hollowed",
                                         [PAGE_HIDDEN] = "hidden",
                                         [PAGE_CANDIDATE_REMOVED] = "changed" };
    struct strip_rules *strip = owner;
    struct rule_view view;

    strip->changes++;
    if (!strip->says_why)
        return;
    fprintf(stderr, "%s\t<%.*s>", words[change->kind],
            SPAN_PRINT(change->tag.size ? change->tag : SPAN("?")));
    if (change->url.at)
        fprintf(stderr, "\t%.*s", SPAN_PRINT(change->url));
    else
        fputs("\t-", stderr);
    if (database_rule(strip->database, change->rule, &view))
        fprintf(stderr, "\t%.*s\t%.*s:%u", SPAN_PRINT(view.text), SPAN_PRINT(view.list), view.line);
    fputc('\n', stderr);
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    struct strip_rules *strip = owner;
    struct rule_view view;

    if (database_rule(strip->database, rule, &view))
        say_warning("the rest is copied: %s (%.*s, %.*s:%u)", why, SPAN_PRINT(view.text),
                    SPAN_PRINT(view.list), view.line);
    else
        say_warning("the rest is copied: %s", why);
}

static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule)
{
    struct strip_rules *strip = owner;
    struct request request = {
        .url = url, .source = span_text(strip->url), .type = type, .method = SPAN("GET")
    };
    struct verdict verdict;

    if (is_host_only)
        matcher_connect(strip->matcher, url_find_host(url), &verdict);
    else
        matcher_ask(strip->matcher, &request, &verdict);
    *rule = verdict.rule;
    return verdict.action == VERDICT_BLOCK;
}

static const struct page_events events = {
    .on_output = on_output,
    .on_change = on_change,
    .on_gave_up = on_gave_up,
    .is_stopped = is_stopped,
};

static bool read_mode(const char *mode, enum page_strip *strip)
{
    static const char *const modes[] = {
        [PAGE_STRIP_HIDE] = "hide", [PAGE_STRIP_HOLLOW] = "hollow", [PAGE_STRIP_REMOVE] = "remove"
    };

    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i], mode) == 0) {
            *strip = (enum page_strip)i;
            return true;
        }
    return false;
}

static void open_page(struct strip_rules *strip, const struct strip_rules_options *options,
                      struct page_setup *setup)
{
    struct request request = { .url = span_text(strip->url), .type = TYPE_DOCUMENT };
    struct url_host_text room = { 0 };
    struct url_name host;
    struct buffer head = { .limit_bytes = PAGE_STYLE_BYTES + 256 };
    struct span css;

    strip->flags = matcher_page(strip->matcher, &request);
    if (strip->flags & PAGE_ALL)
        return;
    url_parse_host(&host, &room, request.url);
    if (options->source.config)
        page_configure(setup, options->source.config, span_of(host.at, host.size));
    if (options->mode)
        (void)read_mode(options->mode, &setup->strip); // known to be good
    if (options->keeps_blocked || strip->flags & PAGE_URLBLOCK)
        setup->removes_blocked = false;
    setup->sheet = page_rules_sheet(strip->rules, span_of(host.at, host.size), strip->flags);
    setup->url = request.url;
    if (setup->sheet && !page_write_style(&head, setup->sheet, setup->strip, &css))
        head.size = 0;
    setup->head = buffer_span(&head);
    if (setup->sheet || setup->removes_blocked)
        strip->page = page_new(setup, &events, strip);
    page_sheet_unref(&setup->sheet);
    buffer_release(&head);
}

/* Are the options what they should be? */
static bool check(const struct strip_rules_options *options)
{
    static struct url_text room;
    enum page_strip mode;
    struct url url;

    if (options->mode && !read_mode(options->mode, &mode)) {
        say_error("strip: --mode takes hide, hollow or remove");
        return false;
    }
    if (options->url && !url_parse(&url, &room, span_text(options->url))) {
        say_error("\"%s\" is no absolute URL: http://HOST/PATH is wanted", options->url);
        return false;
    }
    return true;
}

struct strip_rules *strip_rules_new(struct strip_rules_options *options, int *exit_code)
{
    struct page_setup setup = { .removes_blocked = true };
    struct strip_rules *strip;

    *exit_code = check(options) ? rule_source_open(&options->source) : EX_USAGE;
    if (*exit_code != EX_OK)
        return NULL;
    strip = calloc(1, sizeof *strip);
    if (!strip)
        abort();
    strip->database = options->source.rules;
    strip->url = options->url ? options->url : "http://page.invalid/";
    strip->says_why = options->says_why;
    strip->matcher = matcher_new(strip->database);
    strip->rules = page_rules_new(strip->database);
    open_page(strip, options, &setup);
    return strip;
}

void strip_rules_feed(struct strip_rules *strip, struct span bytes)
{
    if (strip->page)
        page_feed(strip->page, bytes);
    else
        on_output(strip, bytes);
}

void strip_rules_finish(struct strip_rules *strip)
{
    if (strip->page)
        page_finish(strip->page);
}

void strip_rules_free(struct strip_rules **rules)
{
    struct strip_rules *gone = *rules;

    *rules = NULL;
    if (!gone)
        return;
    page_free(&gone->page);
    page_rules_unref(&gone->rules);
    matcher_free(&gone->matcher);
    free(gone);
}
