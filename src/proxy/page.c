#include "proxy/page.h"

#include <assert.h>
#include <stdlib.h>

#include "html/charset.h"
#include "html/references.h"
#include "proxy/page_policy.h"

enum {
    INSPECT_BYTES = 512 << 10, // of an element's text, held while it is looked at
    INSPECTED_RULES = 16,
    NAME_BYTES = 16, // of an element whose text is looked at: "plaintext" is the longest
    MARK_BYTES = 3,  // a byte order mark
    VALUE_BYTES = 1 << 18,
    SELECTOR_BYTES = 1000, // that goes into an attribute
    COSTLY_BYTES = 4096,   // of text to look at, which no selector's work comes near to
};

/* What an element that is hidden by itself carries, and the line of the style that hides it. Where
 * our script is in the page, the selector follows the '-': the script puts it into a style of its
 * own and takes the attribute away, before any script of the page could wonder about it. */
#define HIDDEN_BEGIN " hidden=\"-"
#define HIDDEN_ATTRIBUTE HIDDEN_BEGIN "\""
#define HIDDEN_STYLE "[hidden^=\"-\"]{display:none!important}\n"

struct page {
    const struct page_events *events;
    void *owner;
    struct page_sheet *sheet;
    struct rewrite *rewrite; // NULL: all is copied
    enum page_strip strip;
    bool removes_blocked, has_script, has_base, is_begun;
    uint8_t host_set; // the number of the host's set among the rewriter's; the generic one is 0
    char *url, *head, *connect;
    size_t head_size, connect_size;
    struct buffer base, value, made, resolved;
    char mark[MARK_BYTES]; // the first bytes
    size_t mark_size;
    rule_number inspected[INSPECTED_RULES];
    size_t inspected_count;
    char inspected_name[NAME_BYTES];
    size_t inspected_name_size;
    struct { // whose tests had most text to look at
        rule_number rule;
        uint64_t bytes;
    } costly;
};

static char *copy_text(struct span text)
{
    char *copy = malloc(text.size + 1);

    if (!copy)
        abort(); // out of memory ends the worker; the master starts another
    if (text.size)
        memcpy(copy, text.at, text.size);
    copy[text.size] = 0;
    return copy;
}

/* name: of the element; empty for an implied one. */
static void tell(struct page *page, enum page_change_kind kind, struct span name, rule_number rule,
                 struct span url)
{
    struct page_change change = { .kind = kind, .tag = name, .rule = rule, .url = url };

    if (page->events->on_change)
        page->events->on_change(page->owner, &change);
}

static struct span name_of(const struct rewrite_element *element)
{
    return element->tag ? element->tag->name : SPAN_NONE;
}

/* ---- cosmetic rules ---- */

static const struct page_rule *rule_of(const struct page *page, const struct match *match)
{
    if (page->sheet->set && match->set == page->host_set)
        return &page->sheet->rules[match->id];
    if (page_sheet_excludes(page->sheet, match->id))
        return NULL;
    return page_rules_generic(page->sheet->owner, match->id);
}

/* Frames, images and their like would fetch although they are hollow. */
static void drop_links(struct page *page, const struct token *tag)
{
    struct page_link links[PAGE_LINKS];
    size_t count = page_links_of(tag, links);

    for (size_t i = 0; i < count; i++)
        (void)rewrite_remove_attribute(page->rewrite, links[i].attribute);
}

/* Does what is put in at the head hide it? */
static bool is_in_style(const struct page *page, const struct page_rule *rule)
{
    return rule->is_in_style && page->head_size > 0;
}

static bool write_value(struct buffer *to, struct span text)
{
    bool fits = true;

    for (size_t i = 0; i < text.size && fits; i++) {
        char c = text.at[i];
        fits = c == '"'   ? buffer_append(to, SPAN("&quot;"))
               : c == '&' ? buffer_append(to, SPAN("&amp;"))
               : c == '>' ? buffer_append(to, SPAN("&gt;"))
                          : buffer_append(to, span_of(&c, 1));
    }
    return fits;
}

/* The attribute of an element that a rule hides; good until the next one is made. */
static struct span hidden_by(struct page *page, const struct page_rule *rule)
{
    page->resolved.size = page->made.size = 0;
    if (page->has_script &&
        page_rules_selector(page->sheet->owner, rule->number, &page->resolved) &&
        page->resolved.size <= SELECTOR_BYTES && buffer_append(&page->made, SPAN(HIDDEN_BEGIN)) &&
        write_value(&page->made, buffer_span(&page->resolved)) &&
        buffer_append(&page->made, SPAN("\"")))
        return buffer_span(&page->made);
    return SPAN(HIDDEN_ATTRIBUTE);
}

static enum rewrite_action hide(struct page *page, const struct rewrite_element *element,
                                const struct page_rule *rule)
{
    if (page->strip == PAGE_STRIP_REMOVE || !element->tag) {
        if (page->strip == PAGE_STRIP_HIDE || (!element->tag && is_in_style(page, rule)))
            return REWRITE_KEEP;
        tell(page, PAGE_REMOVED, name_of(element), rule->number, SPAN_NONE);
        return REWRITE_REMOVE;
    }
    if (page->strip == PAGE_STRIP_HOLLOW) {
        tell(page, PAGE_HOLLOWED, element->tag->name, rule->number, SPAN_NONE);
        drop_links(page, element->tag);
        return REWRITE_HOLLOW;
    }
    tell(page, PAGE_HIDDEN, element->tag->name, rule->number, SPAN_NONE);
    if (!is_in_style(page, rule))
        (void)rewrite_add_attributes(page->rewrite, hidden_by(page, rule));
    return REWRITE_KEEP;
}

/* What the rules want that matched: the strongest of it. */
static enum rewrite_action by_rules(struct page *page, const struct rewrite_element *element)
{
    const struct page_rule *hides = NULL;

    page->inspected_count = 0;
    for (size_t i = 0; i < element->match_count; i++) {
        const struct page_rule *rule = rule_of(page, &element->matches[i]);

        if (!rule)
            continue;
        if (rule->action == PAGE_REMOVE) {
            tell(page, PAGE_REMOVED, name_of(element), rule->number, SPAN_NONE);
            return REWRITE_REMOVE;
        }
        if (rule->action == PAGE_INSPECT && element->is_raw_text &&
            page->inspected_count < INSPECTED_RULES)
            page->inspected[page->inspected_count++] = rule->number;
        else if (rule->action == PAGE_HIDE && (!hides || is_in_style(page, rule)))
            hides = rule;
    }
    if (hides && !element->is_in_hollow && !element->is_foreign)
        return hide(page, element, hides);
    if (hides && !element->is_in_hollow && page->strip == PAGE_STRIP_HIDE)
        return hide(page, element, hides);
    if (page->inspected_count == 0)
        return REWRITE_KEEP;
    page->inspected_name_size = name_of(element).size;
    assert(page->inspected_name_size <= NAME_BYTES);
    memcpy(page->inspected_name, name_of(element).at, page->inspected_name_size);
    return REWRITE_INSPECT;
}

static enum rewrite_action on_text(void *owner, struct span *text, bool is_whole)
{
    struct page *page = owner;

    for (size_t i = 0; i < page->inspected_count; i++) {
        rule_number number = page->inspected[i];

        if (text->size > page->costly.bytes) {
            page->costly.rule = number;
            page->costly.bytes = text->size;
        }
        if (!page_rules_test(page->sheet->owner, number, *text, is_whole))
            continue;
        tell(page, PAGE_REMOVED, span_of(page->inspected_name, page->inspected_name_size), number,
             SPAN_NONE);
        return REWRITE_REMOVE;
    }
    return REWRITE_KEEP;
}

/* ---- what elements fetch ---- */

/* An attribute's value with its references replaced; good until the next call. */
static struct span value_of(struct page *page, const struct token *tag, size_t attribute)
{
    struct span raw = token_attribute_value(tag, attribute);

    if (!references_needed(raw))
        return raw;
    page->value.size = 0;
    if (!references_decode(&page->value, raw, REFERENCES_IN_ATTRIBUTE))
        return SPAN_NONE;
    return buffer_span(&page->value);
}

static struct span base_of(const struct page *page)
{
    return page->has_base ? buffer_span(&page->base) : span_text(page->url);
}

static void take_base(struct page *page, const struct token *tag)
{
    size_t index;

    if (page->has_base || !token_find_attribute(tag, SPAN("href"), &index))
        return;
    page->has_base =
        page_link_resolve(&page->base, span_text(page->url), value_of(page, tag, index));
}

static bool is_stopped(struct page *page, struct span value, const struct page_link *link,
                       rule_number *rule)
{
    return page_link_resolve(&page->resolved, base_of(page), value) &&
           page->events->is_stopped(page->owner, buffer_span(&page->resolved), link->type,
                                    link->kind == PAGE_LINK_HOST, rule);
}

enum kept { ALL, SOME, NONE };

/* The candidates of a srcset that are not stopped, into page->made, as they are to be written. */
static enum kept filter_set(struct page *page, const struct token *tag,
                            const struct page_link *link, rule_number *rule)
{
    struct span left = value_of(page, tag, link->attribute), url, candidate;
    size_t kept = 0, gone = 0;

    page->made.size = 0;
    while (page_link_next(&left, &url, &candidate)) {
        if (is_stopped(page, url, link, rule)) {
            tell(page, PAGE_CANDIDATE_REMOVED, tag->name, *rule, buffer_span(&page->resolved));
            gone++;
            continue;
        }
        if ((kept && !buffer_append(&page->made, SPAN(", "))) ||
            !write_value(&page->made, candidate))
            return ALL; // too long to be written anew
        kept++;
    }
    return gone == 0 ? ALL : kept ? SOME : NONE;
}

/* What is left of an element when links of it are stopped. */
struct leftovers {
    bool element_stopped, element_allowed; // PAGE_LINK_ELEMENT
    size_t element_attribute;
    enum kept set;
    bool has_set;
    size_t set_attribute;
    rule_number rule;
    bool goes;
};

static void look_at(struct page *page, const struct token *tag, const struct page_link *link,
                    struct leftovers *left)
{
    rule_number rule = 0;

    if (link->kind == PAGE_LINK_SET) {
        left->has_set = true;
        left->set_attribute = link->attribute;
        left->set = filter_set(page, tag, link, &left->rule);
        if (left->set == SOME)
            (void)rewrite_set_attribute(page->rewrite, link->attribute, buffer_span(&page->made));
        return;
    }
    if (!is_stopped(page, value_of(page, tag, link->attribute), link, &rule)) {
        left->element_allowed = left->element_allowed || link->kind == PAGE_LINK_ELEMENT;
        return;
    }
    if (link->kind == PAGE_LINK_ATTRIBUTE) {
        tell(page, PAGE_CANDIDATE_REMOVED, tag->name, rule, buffer_span(&page->resolved));
        (void)rewrite_remove_attribute(page->rewrite, link->attribute);
        return;
    }
    left->rule = rule;
    if (link->kind == PAGE_LINK_HOST)
        left->goes = true;
    left->element_stopped = true;
    left->element_attribute = link->attribute;
}

static enum rewrite_action by_links(struct page *page, const struct token *tag)
{
    struct page_link links[PAGE_LINKS];
    struct leftovers left = { 0 };
    size_t count = page_links_of(tag, links);
    bool set_is_left;

    for (size_t i = 0; i < count; i++)
        look_at(page, tag, &links[i], &left);
    set_is_left = left.has_set && left.set != NONE;
    if (left.goes || (left.element_stopped && !set_is_left) ||
        (left.has_set && left.set == NONE && !left.element_allowed)) {
        tell(page, PAGE_REMOVED, tag->name, left.rule, buffer_span(&page->resolved));
        return REWRITE_REMOVE;
    }
    if (left.element_stopped) {
        tell(page, PAGE_CANDIDATE_REMOVED, tag->name, left.rule, buffer_span(&page->resolved));
        (void)rewrite_remove_attribute(page->rewrite, left.element_attribute);
    }
    if (left.has_set && left.set == NONE)
        (void)rewrite_remove_attribute(page->rewrite, left.set_attribute);
    return REWRITE_KEEP;
}

/* <meta http-equiv="Content-Security-Policy">: it comes behind what is put in, but the script asks
 * later. */
static void change_meta(struct page *page, const struct token *tag)
{
    struct page_policy needs = { .connect = span_of(page->connect, page->connect_size) };
    size_t name, content;

    if (!page->connect_size || !token_find_attribute(tag, SPAN("http-equiv"), &name) ||
        !span_equal_nocase(span_trim(token_attribute_value(tag, name)),
                           SPAN("Content-Security-Policy")) ||
        !token_find_attribute(tag, SPAN("content"), &content))
        return;
    page->resolved.size = page->made.size = 0;
    if (page_policy_change(&page->resolved, value_of(page, tag, content), &needs) &&
        write_value(&page->made, buffer_span(&page->resolved)))
        (void)rewrite_set_attribute(page->rewrite, content, buffer_span(&page->made));
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    struct page *page = owner;
    enum rewrite_action action = REWRITE_KEEP;

    if (element->match_count)
        action = by_rules(page, element);
    if (action == REWRITE_REMOVE || action == REWRITE_HOLLOW || !element->tag ||
        element->is_foreign || !page_links_wanted[element->name])
        return action;
    if (element->name == TAG_BASE)
        take_base(page, element->tag);
    else if (element->name == TAG_META)
        change_meta(page, element->tag);
    else if (page->removes_blocked && by_links(page, element->tag) == REWRITE_REMOVE)
        return REWRITE_REMOVE;
    return action;
}

/* ---- the stream ---- */

static void on_output(void *owner, struct span bytes)
{
    struct page *page = owner;
    page->events->on_output(page->owner, bytes);
}

static struct span on_head(void *owner)
{
    struct page *page = owner;
    return span_of(page->head, page->head_size);
}

/* The rule that cost most, as far as is known, or 0. */
static rule_number costly_rule(const struct page *page)
{
    const struct page_rule *rule = NULL;
    struct match match;

    if (page->costly.bytes < COSTLY_BYTES && page->rewrite && rewrite_costly(page->rewrite, &match))
        rule = rule_of(page, &match);
    return rule ? rule->number : page->costly.rule;
}

static void on_gave_up(void *owner, enum rewrite_reason reason)
{
    static const char *const reasons[REWRITE_REASONS] = {
        [REWRITE_LONG_TAG] = "a tag is too long",
        [REWRITE_DEEP] = "elements are nested too deep",
        [REWRITE_WORK_SPENT] = "it takes too many steps",
        [REWRITE_ESCAPE] = "its charset has escape sequences",
    };
    struct page *page = owner;

    page->events->on_gave_up(page->owner, reasons[reason],
                             reason == REWRITE_WORK_SPENT ? costly_rule(page) : 0);
}

static const struct rewrite_events rewrite_events = {
    .on_output = on_output,
    .on_element = on_element,
    .on_head = on_head,
    .on_text = on_text,
    .on_gave_up = on_gave_up,
};
static const struct rewrite_events headless_events = {
    .on_output = on_output,
    .on_element = on_element,
    .on_text = on_text,
    .on_gave_up = on_gave_up,
};

bool page_write_style(struct buffer *to, const struct page_sheet *sheet, enum page_strip strip,
                      struct span *css)
{
    bool has_line = (sheet->hides_alone && strip != PAGE_STRIP_REMOVE) ||
                    (sheet->hides_in_style && strip == PAGE_STRIP_HOLLOW);
    size_t begin, end;

    *css = SPAN_NONE;
    if (!has_line && sheet->style.size == 0)
        return true;
    if (!buffer_append(to, SPAN("<style>")))
        return false;
    begin = to->size;
    end = begin + (has_line ? sizeof HIDDEN_STYLE - 1 : 0) + sheet->style.size;
    if ((has_line && !buffer_append(to, SPAN(HIDDEN_STYLE))) ||
        !buffer_append(to, buffer_span(&sheet->style)) || !buffer_append(to, SPAN("</style>")))
        return false;
    *css = span_slice(buffer_span(to), begin, end - begin);
    return true;
}

struct page *page_new(const struct page_setup *setup, const struct page_events *events, void *owner)
{
    struct page *page = calloc(1, sizeof *page);
    struct rewrite_options options = { .inspect_bytes = INSPECT_BYTES,
                                       .hollow = SPAN(HIDDEN_ATTRIBUTE),
                                       .wanted = page_links_wanted,
                                       .charset_is_known = setup->charset_is_known };
    const struct selector_set *sets[2];

    if (!page)
        abort();
    page->events = events;
    page->owner = owner;
    page->strip = setup->strip;
    page->removes_blocked = setup->removes_blocked;
    page->has_script = setup->has_script;
    page->url = copy_text(setup->url);
    page->head = copy_text(setup->head);
    page->head_size = setup->head.size;
    page->connect = copy_text(setup->connect);
    page->connect_size = setup->connect.size;
    page->base.limit_bytes = page->resolved.limit_bytes = PAGE_RESOLVED_BYTES;
    page->value.limit_bytes = page->made.limit_bytes = VALUE_BYTES;
    if (setup->sheet) {
        page->sheet = setup->sheet;
        page->sheet->references++;
        if (page->sheet->has_generics)
            sets[options.set_count++] = page_rules_generics(page->sheet->owner);
        page->host_set = (uint8_t)options.set_count;
        if (page->sheet->set)
            sets[options.set_count++] = page->sheet->set;
    }
    options.sets = sets;
    if (!page->removes_blocked && !page->connect_size)
        options.wanted = NULL;
    page->rewrite =
        rewrite_new(&options, page->head_size ? &rewrite_events : &headless_events, page);
    return page;
}

void page_free(struct page **page)
{
    struct page *gone = *page;

    *page = NULL;
    if (!gone)
        return;
    rewrite_free(&gone->rewrite);
    page_sheet_unref(&gone->sheet);
    buffer_release(&gone->base);
    buffer_release(&gone->value);
    buffer_release(&gone->made);
    buffer_release(&gone->resolved);
    free(gone->url);
    free(gone->head);
    free(gone->connect);
    free(gone);
}

static void feed(struct page *page, struct span bytes)
{
    if (bytes.size == 0)
        return;
    if (page->rewrite)
        rewrite_feed(page->rewrite, bytes);
    else
        page->events->on_output(page->owner, bytes);
}

/* As far as its first byte says. */
static bool may_be_mark(const struct page *page)
{
    return (unsigned char)page->mark[0] == 0xef || (unsigned char)page->mark[0] >= 0xfe;
}

/* By its first bytes: a page in UTF-16 passes; a mark is no text, which would begin the body. */
static void begin(struct page *page)
{
    struct span start = span_of(page->mark, page->mark_size), mark = charset_mark(start);

    page->is_begun = true;
    if (mark.at && charset_kind(mark) == CHARSET_UNREADABLE)
        rewrite_free(&page->rewrite);
    if (mark.at && page->rewrite)
        page->events->on_output(page->owner, start);
    else
        feed(page, start);
}

void page_feed(struct page *page, struct span bytes)
{
    while (!page->is_begun && bytes.size) {
        page->mark[page->mark_size++] = bytes.at[0];
        bytes = span_from(bytes, 1);
        if (page->mark_size == MARK_BYTES || !may_be_mark(page))
            begin(page);
    }
    feed(page, bytes);
}

void page_finish(struct page *page)
{
    if (!page->is_begun)
        begin(page);
    if (page->rewrite)
        rewrite_finish(page->rewrite);
}

rule_number page_stop(struct page *page)
{
    if (!page->is_begun)
        begin(page);
    if (page->rewrite)
        rewrite_stop(page->rewrite);
    return costly_rule(page);
}

size_t page_held(const struct page *page)
{
    return page->mark_size * !page->is_begun + page->value.capacity + page->made.capacity +
           (page->rewrite ? rewrite_held(page->rewrite) : 0);
}

uint64_t page_removed_bytes(const struct page *page)
{
    return page->rewrite ? rewrite_removed_bytes(page->rewrite) : 0;
}

uint64_t page_removed_elements(const struct page *page)
{
    return page->rewrite ? rewrite_removed_elements(page->rewrite) : 0;
}
