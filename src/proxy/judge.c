#include "proxy/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/url.h"
#include "proxy/page_rules.h"

struct judge {
    struct loop *loop;
    const struct passes *passes;
    struct matcher *matcher;
    struct kind_memory *memory;
    struct amender *amender;
    struct page_rules *page_rules; // NULL until a page needs them
    const struct secret *secret;
};

struct judge *judge_new(struct loop *loop, const struct passes *passes)
{
    struct judge *judge = calloc(1, sizeof *judge);

    if (!judge)
        abort(); // out of memory ends the worker; the master starts another
    judge->loop = loop;
    judge->passes = passes;
    judge->matcher = matcher_new(NULL);
    judge->memory = kind_memory_new();
    judge->amender = amender_new();
    return judge;
}

void judge_free(struct judge **judge)
{
    if (!*judge)
        return;
    matcher_free(&(*judge)->matcher);
    kind_memory_free(&(*judge)->memory);
    amender_free(&(*judge)->amender);
    page_rules_unref(&(*judge)->page_rules);
    free(*judge);
    *judge = NULL;
}

void judge_use(struct judge *judge, struct database *database)
{
    matcher_use(judge->matcher, database);
    page_rules_unref(&judge->page_rules);
}

struct database *judge_database(const struct judge *judge)
{
    return matcher_database(judge->matcher);
}

/* ---- switches ---- */

/* The host of a URL, or the whole text where it is none. */
static struct span host_of(struct span url)
{
    size_t scheme = span_find(url, SPAN("://"));
    struct span rest = scheme < url.size ? span_from(url, scheme + 3) : url;

    for (size_t i = 0; i < rest.size; i++)
        if (rest.at[i] == '/' || rest.at[i] == '?' || rest.at[i] == '#' ||
            (rest.at[i] == ':' && rest.at[0] != '['))
            return span_slice(rest, 0, i);
    return rest;
}

static void flip(enum config_switch by, bool *what)
{
    if (by != SWITCH_UNSET)
        *what = by == SWITCH_YES;
}

static bool client_is(const struct config_client *section, const struct case_file *file)
{
    struct address_range range;

    if (file->user.size && span_equal(section->match, file->user))
        return true;
    return address_range_parse(&range, section->match) && address_range_has(&range, file->client);
}

/* A pass for the page's host lets everything on the page through, one for the request's own host
 * lets it through wherever it is used. */
static bool has_pass(const struct judge *judge, const struct case_file *file, struct span page)
{
    uint64_t now_ms;

    if (passes_are_empty(judge->passes))
        return false;
    now_ms = clock_unix_ms();
    return passes_allow(judge->passes, file->target->host, file->client, now_ms) ||
           passes_allow(judge->passes, page, file->client, now_ms);
}

/* Sections in their order, the last that says something wins; clients after sites; passes last. */
static void ask_switches(const struct judge *judge, const struct case_file *file,
                         struct judgement *out)
{
    const struct config *config = file->settings->config;
    struct span page = out->source.size ? host_of(out->source) : file->target->host;

    out->is_filtered = config->filter;
    out->wants_gpc = config->gpc;
    for (size_t i = 0; i < config->site_count; i++) {
        if (!span_matches_wildcard(page, config->sites[i].pattern))
            continue;
        flip(config->sites[i].filter, &out->is_filtered);
        flip(config->sites[i].gpc, &out->wants_gpc);
    }
    for (size_t i = 0; i < config->client_count; i++) {
        if (!client_is(&config->clients[i], file))
            continue;
        flip(config->clients[i].filter, &out->is_filtered);
        flip(config->clients[i].gpc, &out->wants_gpc);
    }
    if (out->is_filtered &&
        (has_pass(judge, file, page) || matcher_never_filters(judge->matcher, file->target->host)))
        out->is_filtered = false;
}

static bool policy_rejects(const struct config_policy *policy, struct span host)
{
    if (texts_match(&policy->accept, host))
        return false;
    return texts_match(&policy->reject, host) || policy->otherwise == POLICY_REJECT;
}

/* ---- rules ---- */

static enum party party_of(enum kind_party party)
{
    if (party == KIND_PARTY_FIRST)
        return PARTY_FIRST;
    return party == KIND_PARTY_THIRD ? PARTY_THIRD : PARTY_BY_SOURCE;
}

/* Of the `number`th field of that name. */
static struct span value_of(const struct message *message, struct span name, unsigned number)
{
    for (size_t i = 0; message && i < message->field_count; i++) {
        const struct field *field = &message->fields[i];

        if (!field->is_dropped && span_equal_nocase(field->name, name) && number-- == 0)
            return field->value;
    }
    return SPAN_NONE;
}

static struct span request_field(void *owner, struct span name, unsigned number)
{
    return value_of(((const struct case_file *)owner)->request, name, number);
}

static struct span response_field(void *owner, struct span name, unsigned number)
{
    return value_of(((const struct case_file *)owner)->response, name, number);
}

struct address_texts {
    char client[ADDRESS_TEXT_BYTES], server[ADDRESS_TEXT_BYTES];
};

/* `texts` must live as long as the question. */
static struct request question_of(const struct case_file *file, const struct judgement *judgement,
                                  struct address_texts *texts)
{
    struct span server = SPAN_NONE;

    if (file->server)
        server = span_text(address_text(file->server, texts->server));
    return (struct request){
        .url = file->url,
        .source = judgement->source,
        .type = judgement->type,
        .party = party_of(judgement->party),
        .method = file->request->method_name,
        .client = span_text(address_text(file->client, texts->client)),
        .address = server,
        .client_name = file->user,
        .request_field = request_field,
        .response_field = file->response ? response_field : NULL,
        .field_owner = (void *)file, // only looked into
    };
}

/* An exception for all of the page that the request is for. */
static bool page_is_exempt(struct judge *judge, const struct judgement *judgement)
{
    return matcher_page_exempts(judge->matcher, judgement->source, judgement->verdict.rule);
}

static void ask_rules(struct judge *judge, const struct case_file *file, struct judgement *out)
{
    struct address_texts texts;
    struct request question = question_of(file, out, &texts);

    matcher_ask(judge->matcher, &question, &out->verdict);
    out->is_stopped =
        (out->verdict.action == VERDICT_BLOCK || out->verdict.action == VERDICT_REDIRECT) &&
        !page_is_exempt(judge, out);
}

/* A source that is a style sheet or a frame stands for the page behind it. */
static void find_source(struct judge *judge, const struct case_file *file,
                        const struct kind_source *source, struct judgement *out)
{
    uint64_t now_ms = loop_now_ms(judge->loop);
    struct span behind;

    out->source = source->page;
    if (!out->source.size)
        return;
    behind = kind_memory_find(judge->memory, file->client, out->source, now_ms);
    if (behind.at) {
        struct span copy = arena_copy(file->request->arena, behind);
        if (copy.at)
            out->source = copy;
    }
    if (out->type == TYPE_STYLESHEET || out->type == TYPE_SUBDOCUMENT)
        kind_memory_keep(judge->memory, file->client, file->url, out->source, now_ms);
}

void judge_request(struct judge *judge, const struct case_file *file, struct judgement *out)
{
    struct kind kind = kind_of_request(file->request, file->target->path_and_query);
    struct kind_source source = kind_source_of(file->request, file->target, kind.type);

    *out = (struct judgement){ .type = kind.type,
                               .type_is_guess = kind.is_guess,
                               .party = source.party };
    find_source(judge, file, &source, out);
    ask_switches(judge, file, out);
    if (!out->is_filtered)
        return;
    if (policy_rejects(&file->settings->config->connect_policy, file->target->host))
        out->is_stopped = out->by_policy = true;
    else
        ask_rules(judge, file, out);
}

void judge_connect(struct judge *judge, const struct case_file *file, struct judgement *out)
{
    *out = (struct judgement){ .type = TYPE_OTHER };
    ask_switches(judge, file, out);
    if (!out->is_filtered)
        return;
    if (policy_rejects(&file->settings->config->connect_policy, file->target->host)) {
        out->is_stopped = out->by_policy = true;
        return;
    }
    matcher_connect(judge->matcher, file->target->host, &out->verdict);
    out->is_stopped = out->verdict.action == VERDICT_BLOCK;
}

struct amender *judge_amender(const struct judge *judge)
{
    return judge->amender;
}

struct directives judge_directives(struct judge *judge, const struct case_file *file,
                                   const struct judgement *judgement)
{
    struct directive found[DIRECTIVES_LIMIT];
    struct address_texts texts;
    struct request question = question_of(file, judgement, &texts);
    struct directives out = { .count = 0 };

    if (!judgement->is_filtered || !matcher_database(judge->matcher))
        return out;
    out.count =
        matcher_directives(judge->matcher, &question, DIRECTIVES_ALL, found, DIRECTIVES_LIMIT);
    out.may_grow = matcher_directives_wait(judge->matcher);
    if (out.count == 0 && !out.may_grow)
        return out;
    if (matcher_page_is_free(judge->matcher,
                             judgement->type == TYPE_DOCUMENT ? file->url : judgement->source))
        return (struct directives){ .count = 0 };
    if (out.count)
        out.items = arena_alloc(file->request->arena, out.count * sizeof *out.items);
    if (out.items)
        memcpy(out.items, found, out.count * sizeof *out.items);
    else
        out.count = 0;
    return out;
}

static bool settle(struct judge *judge, struct judgement *now)
{
    now->is_stopped =
        (now->verdict.action == VERDICT_BLOCK || now->verdict.action == VERDICT_REDIRECT) &&
        !page_is_exempt(judge, now);
    return now->is_stopped;
}

bool judge_name(struct judge *judge, const struct case_file *file, struct span name,
                struct judgement *now)
{
    struct address_texts texts;
    struct request question = question_of(file, now, &texts);

    if (!now->is_filtered || !matcher_database(judge->matcher) ||
        now->verdict.action == VERDICT_EXCEPTION)
        return false;
    matcher_name(judge->matcher, &question, name, &now->verdict);
    return settle(judge, now);
}

bool judge_address(struct judge *judge, const struct case_file *file, const struct address *address,
                   struct judgement *now)
{
    struct address_texts texts;
    struct case_file known = *file;
    struct request question;

    if (!now->is_filtered || !matcher_database(judge->matcher) ||
        now->verdict.action == VERDICT_EXCEPTION)
        return false;
    known.server = address;
    question = question_of(&known, now, &texts);
    matcher_address(judge->matcher, &question, &now->verdict);
    return settle(judge, now);
}

bool judge_fields(struct judge *judge, const struct case_file *file, struct judgement *now)
{
    struct address_texts texts;
    struct request question = question_of(file, now, &texts);

    if (!now->is_filtered || !matcher_database(judge->matcher) ||
        now->verdict.action == VERDICT_EXCEPTION)
        return false;
    matcher_response(judge->matcher, &question, &now->verdict);
    return settle(judge, now);
}

bool judge_response(struct judge *judge, const struct case_file *file,
                    const struct message *response, struct judgement *now)
{
    struct span content_type = message_value(response, FIELD_CONTENT_TYPE);
    bool is_image;

    if (!now->is_filtered)
        return false;
    if (content_type.at && now->type_is_guess) {
        now->type = kind_of_response(content_type);
        now->type_is_guess = false;
        if (now->type != TYPE_OTHER) {
            now->party = kind_source_of(file->request, file->target, now->type).party;
            ask_rules(judge, file, now);
            if (now->is_stopped)
                return true;
        }
    }
    is_image = content_type.at ? span_starts_nocase(content_type, SPAN("image/"))
                               : response->status == 304 && now->type == TYPE_IMAGE;
    if (is_image && policy_rejects(&file->settings->config->image_policy, file->target->host)) {
        now->type = TYPE_IMAGE;
        now->is_stopped = now->by_policy = now->by_image_policy = true;
        return true;
    }
    return false;
}

bool judge_drops_cookies(const struct case_file *file, const struct judgement *judgement)
{
    return judgement->is_filtered &&
           policy_rejects(&file->settings->config->cookie_policy, file->target->host);
}

/* ---- pages ---- */

void judge_set_secret(struct judge *judge, const struct secret *secret)
{
    judge->secret = secret;
}

const struct secret *judge_secret(const struct judge *judge)
{
    return judge->secret;
}

struct page_rules *judge_page_rules(struct judge *judge)
{
    if (!judge->page_rules)
        judge->page_rules = page_rules_new(matcher_database(judge->matcher));
    return judge->page_rules;
}

unsigned judge_page_flags(struct judge *judge, const struct case_file *file,
                          const struct judgement *judgement)
{
    enum request_type type = judgement->type == TYPE_SUBDOCUMENT ? TYPE_SUBDOCUMENT : TYPE_DOCUMENT;
    struct request page = { .url = file->url, .source = judgement->source, .type = type };

    return matcher_page(judge->matcher, &page) |
           (judgement->type == TYPE_SUBDOCUMENT && page_is_exempt(judge, judgement) ? PAGE_ALL : 0);
}

/* What is known of a request that an element would make: nearly all. */
static bool rules_stop(struct judge *judge, const struct case_file *file, const char *client,
                       struct span url, enum request_type type, rule_number *rule)
{
    struct request question = { .url = url,
                                .source = file->url,
                                .type = type,
                                .method = SPAN("GET"),
                                .client = span_text(client),
                                .client_name = file->user };
    struct verdict verdict;

    matcher_ask(judge->matcher, &question, &verdict);
    *rule = verdict.rule;
    return verdict.action == VERDICT_BLOCK;
}

/* Does the host alone say something: a pass, or a policy? */
static bool host_decides(struct judge *judge, const struct case_file *file, struct span url,
                         bool *is_stopped)
{
    const struct config_policy *policy = &file->settings->config->connect_policy;
    bool has_policy = policy->reject.count || policy->otherwise == POLICY_REJECT;
    struct span host;

    *is_stopped = false;
    if (!has_policy && passes_are_empty(judge->passes))
        return false;
    host = url_find_host(url);
    if (host.size == 0 || (!passes_are_empty(judge->passes) &&
                           passes_allow(judge->passes, host, file->client, clock_unix_ms())))
        return true;
    *is_stopped =
        has_policy && policy_rejects(policy, host) && !matcher_never_filters(judge->matcher, host);
    return *is_stopped;
}

bool judge_element(struct judge *judge, const struct case_file *file, const char *client,
                   struct span url, enum request_type type, bool is_host_only, rule_number *rule)
{
    struct judgement element = { .source = file->url };
    bool is_stopped;

    *rule = 0;
    if (host_decides(judge, file, url, &is_stopped))
        return is_stopped;
    if (is_host_only) {
        matcher_connect(judge->matcher, url_find_host(url), &element.verdict);
        *rule = element.verdict.rule;
        if (element.verdict.action != VERDICT_BLOCK)
            return false;
    } else if (!rules_stop(judge, file, client, url, type, rule)) {
        return false;
    }
    element.verdict.rule = *rule;
    return !page_is_exempt(judge, &element);
}

const char *judge_reason(const struct judge *judge, const struct judgement *judgement, char *to)
{
    struct rule_view view;

    if (judgement->by_policy)
        snprintf(to, JUDGE_REASON_BYTES, "the %s policy of the configuration",
                 judgement->by_image_policy ? "image" : "connect");
    else if (database_rule(matcher_database(judge->matcher), judgement->verdict.rule, &view))
        snprintf(to, JUDGE_REASON_BYTES, "%.*s (%.*s, line %u)",
                 view.text.size > 300 ? 300 : (int)view.text.size, view.text.at,
                 view.list.size > 100 ? 100 : (int)view.list.size, view.list.at, view.line);
    else
        snprintf(to, JUDGE_REASON_BYTES, "a rule");
    return to;
}
