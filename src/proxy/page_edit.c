#include "proxy/page_edit.h"

#include <stdlib.h>

#include "base/url.h"
#include "html/charset.h"
#include "proxy/page_config.h"
#include "proxy/page_hints.h"
#include "proxy/page_late.h"
#include "proxy/page_policy.h"

struct page_edit {
    struct page *page;
    const struct page_subject *subject;
    const struct body_edit_events *events;
    void *owner;
    struct database *rules; // that the page's sheet is from; referenced
    char client[ADDRESS_TEXT_BYTES];
};

/* What is to be done to a page, found out before its first byte. */
struct plan {
    struct page_setup setup;
    struct page_policy policy;
    struct buffer head, connect;
    char style_hash[PAGE_HASH_BYTES], script_hash[PAGE_HASH_BYTES];
    char path[PAGE_LATE_PATH_BYTES];
    struct url_host_text host_room;
    struct url_name host; // in lower case
};

enum { HEAD_BYTES = PAGE_STYLE_BYTES + 8192, VERSION = 2 };

uint64_t page_edit_generation(void)
{
    return page_late_version() * 31 + VERSION;
}

/* ---- what may be done ---- */

enum asker {
    ASKS_FOR_NO_PAGE,
    ASKS_FOR_A_PIECE, // perhaps: nothing is put in where it would be put into another page
    ASKS_FOR_A_PAGE,
};

/* Browsers say what they want a page for, or at least that they want one, and scripts in them
 * that they take anything; a simple client says nothing. */
static enum asker asker_of(const struct page_subject *subject)
{
    const struct message *request = subject->file->request;
    struct span accept = message_value(request, FIELD_ACCEPT);
    enum request_type type = subject->judgement->type;
    bool is_page = type == TYPE_DOCUMENT || type == TYPE_SUBDOCUMENT;

    // What a script asks for is put together by that script.
    if (message_find_name(request, SPAN("X-Requested-With")))
        return ASKS_FOR_NO_PAGE;
    if (message_find(request, FIELD_SEC_FETCH_DEST))
        return is_page ? ASKS_FOR_A_PAGE : ASKS_FOR_NO_PAGE;
    if (!accept.at)
        return subject->judgement->source.size ? ASKS_FOR_NO_PAGE : ASKS_FOR_A_PIECE;
    return span_find(accept, SPAN("text/html")) < accept.size ||
                   span_find(accept, SPAN("application/xhtml+xml")) < accept.size
               ? ASKS_FOR_A_PAGE
               : ASKS_FOR_NO_PAGE;
}

static unsigned flags_of(const struct page_subject *subject)
{
    return judge_page_flags(subject->judge, subject->file, subject->judgement);
}

bool page_edit_may(const struct page_subject *subject)
{
    return subject->judgement->is_filtered && judge_database(subject->judge) &&
           asker_of(subject) != ASKS_FOR_NO_PAGE && !(flags_of(subject) & PAGE_ALL);
}

/* ---- the plan ---- */

/* "http://host:port" of the page, and the path. */
static bool write_connect(struct plan *plan, struct span url, struct span path)
{
    size_t end = span_find(url, SPAN("://"));

    for (end = end < url.size ? end + 3 : 0; end < url.size; end++)
        if (url.at[end] == '/' || url.at[end] == '?')
            break;
    return buffer_append(&plan->connect, span_slice(url, 0, end)) &&
           buffer_append(&plan->connect, path);
}

/* The style, and the script where elements may come that generic rules would hide. */
static bool write_head(struct plan *plan, const struct page_subject *subject, struct span host,
                       unsigned flags)
{
    const struct page_sheet *sheet = plan->setup.sheet;
    const struct secret *secret = judge_secret(subject->judge);
    struct span path, css;
    size_t at;

    if (!page_write_style(&plan->head, sheet, plan->setup.strip, &css))
        return false;
    if (css.at)
        plan->policy.style = page_policy_hash(plan->style_hash, css);
    if (!sheet->has_late || flags & PAGE_JSINJECT || !secret ||
        !page_policy_allows_scripts(subject->response))
        return true;
    path = page_late_path(plan->path, secret, host, sheet->owner);
    at = plan->head.size + 8;
    if (!write_connect(plan, subject->file->url, path) ||
        !buffer_append(&plan->head, SPAN("<script>")) || !page_late_script(&plan->head, path))
        return false;
    plan->policy.script =
        page_policy_hash(plan->script_hash, span_from(buffer_span(&plan->head), at));
    plan->policy.connect = buffer_span(&plan->connect);
    return buffer_append(&plan->head, SPAN("</script>"));
}

static void plan_done(struct plan *plan)
{
    page_sheet_unref(&plan->setup.sheet);
    buffer_release(&plan->head);
    buffer_release(&plan->connect);
}

/* False: nothing can touch the page. */
static bool make_plan(struct plan *plan, const struct page_subject *subject)
{
    enum asker asker = asker_of(subject);
    struct page_rules *rules;
    struct span host;
    unsigned flags;

    *plan = (struct plan){ .head.limit_bytes = HEAD_BYTES, .connect.limit_bytes = PAGE_URL_BYTES };
    if (!subject->judgement->is_filtered || !judge_database(subject->judge) ||
        asker == ASKS_FOR_NO_PAGE)
        return false;
    flags = flags_of(subject);
    if (flags & PAGE_ALL)
        return false;
    rules = judge_page_rules(subject->judge);
    page_configure(&plan->setup, subject->settings->config, subject->file->target->host);
    if (flags & PAGE_URLBLOCK)
        plan->setup.removes_blocked = false;
    plan->setup.url = subject->file->url;
    url_parse_host(&plan->host, &plan->host_room, subject->file->target->host);
    host = span_of(plan->host.at, plan->host.size);
    plan->setup.sheet = page_rules_sheet(rules, host, flags);
    if (plan->setup.sheet && asker == ASKS_FOR_A_PAGE && !write_head(plan, subject, host, flags)) {
        plan->head.size = plan->connect.size = 0;
        plan->policy = (struct page_policy){ 0 };
    }
    plan->setup.has_script = plan->policy.script.at != NULL;
    plan->setup.head = buffer_span(&plan->head);
    plan->setup.connect = buffer_span(&plan->connect);
    return plan->setup.sheet || plan->setup.removes_blocked;
}

static bool is_hint_stopped(void *owner, struct span url, enum request_type type, bool is_host_only)
{
    const struct page_subject *subject = owner;
    char client[ADDRESS_TEXT_BYTES];
    rule_number rule;

    address_text(subject->file->client, client);
    return judge_element(subject->judge, subject->file, client, url, type, is_host_only, &rule);
}

/* What the edited page needs, and asks for before it is there. */
static void change_fields(const struct page_subject *subject, const struct plan *plan)
{
    page_policy_amend(subject->response, &plan->policy);
    if (plan->setup.removes_blocked)
        page_hints_filter(subject->response, subject->file->url, is_hint_stopped, (void *)subject);
}

/* ---- the editor ---- */

static void on_output(void *owner, struct span bytes)
{
    struct page_edit *edit = owner;
    edit->events->on_output(edit->owner, bytes);
}

static void on_gave_up(void *owner, const char *why, rule_number rule)
{
    struct page_edit *edit = owner;
    if (edit->events->on_gave_up)
        edit->events->on_gave_up(edit->owner, why, rule);
}

static bool is_stopped(void *owner, struct span url, enum request_type type, bool is_host_only,
                       rule_number *rule)
{
    struct page_edit *edit = owner;
    const struct page_subject *subject = edit->subject;

    // Rules that came since the page began are for the next one.
    if (judge_database(subject->judge) != edit->rules)
        return false;
    return judge_element(subject->judge, subject->file, edit->client, url, type, is_host_only,
                         rule);
}

static const struct page_events page_events = {
    .on_output = on_output,
    .on_gave_up = on_gave_up,
    .is_stopped = is_stopped,
};

static void feed(void *editor, struct span bytes)
{
    page_feed(((struct page_edit *)editor)->page, bytes);
}

static bool finish(void *editor)
{
    page_finish(((struct page_edit *)editor)->page);
    return true;
}

static void stop(void *editor, rule_number *costly)
{
    *costly = page_stop(((struct page_edit *)editor)->page);
}

static size_t held(const void *editor)
{
    return page_held(((const struct page_edit *)editor)->page);
}

static void counts(const void *editor, struct body_edit_counts *out)
{
    const struct page *page = ((const struct page_edit *)editor)->page;

    out->removed_bytes = page_removed_bytes(page);
    out->removed_elements = page_removed_elements(page);
}

static void free_edit(void *editor)
{
    struct page_edit *edit = editor;

    page_free(&edit->page);
    database_unref(&edit->rules);
    free(edit);
}

static const struct body_editor editor = {
    .feed = feed,
    .finish = finish,
    .stop = stop,
    .held = held,
    .counts = counts,
    .free = free_edit,
};

bool page_edit_open(struct body_edit *out, const struct page_subject *subject,
                    const struct body_edit_events *events, void *owner)
{
    enum charset_kind charset =
        subject->charset.size ? charset_kind(subject->charset) : CHARSET_UNKNOWN;
    struct page_edit *edit;
    struct plan plan;

    if (charset == CHARSET_UNREADABLE || !make_plan(&plan, subject))
        return false;
    change_fields(subject, &plan);
    plan.setup.charset_is_known = charset == CHARSET_READABLE;
    edit = calloc(1, sizeof *edit);
    if (!edit)
        abort(); // out of memory ends the worker; the master starts another
    edit->subject = subject;
    edit->events = events;
    edit->owner = owner;
    address_text(subject->file->client, edit->client);
    edit->rules = database_ref(judge_database(subject->judge));
    edit->page = page_new(&plan.setup, &page_events, edit);
    plan_done(&plan);
    *out = (struct body_edit){ .ops = &editor, .editor = edit };
    return true;
}

bool page_edit_fields(const struct page_subject *subject)
{
    struct plan plan;
    bool is_edited = make_plan(&plan, subject);

    if (is_edited)
        change_fields(subject, &plan);
    plan_done(&plan);
    return is_edited;
}
