#include "daemon/crew.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/worker.h"

enum {
    GRACE_MS = 1000,        // for a worker to end after its drain time
    OTHERS_DRAIN_MS = 2000, // for the processes beside the workers
};

struct member { // a place for a worker, or a role
    struct crew *crew;
    struct child *child;
    const struct crew_role *role; // NULL: a worker
    size_t place;
    int page; // of counters; -1: none
    bool is_retired;
    bool is_replaced;  // its end is our wish
    bool owes_answer;  // to CONFIGURE of crew->generation
    size_t owes_taken; // answers to PASSES, LEARNED and RULES
    struct member *next;
};

struct crew {
    struct loop *loop;
    const struct crew_begin *begin;
    const struct crew_role *roles;
    size_t role_count;
    const struct crew_events *events;
    void *owner;
    struct member *members;
    size_t size;         // workers wanted
    uint64_t generation; // of the last CONFIGURE
    uint64_t restarts;
    bool was_complete, is_draining, others_drain, is_configuring;
    struct loop_timer deadline;  // of a drain
    struct loop_task configured; // says so from the loop
};

static const struct child_events member_events;

/* ---- members ---- */

static struct member *member_new(struct crew *crew, const struct crew_role *role, size_t place)
{
    struct member *member = calloc(1, sizeof *member), **last = &crew->members;
    char name[CHILD_NAME_BYTES];

    if (!member)
        abort();
    if (role)
        snprintf(name, sizeof name, "%s", role->name);
    else
        snprintf(name, sizeof name, "worker %zu", place);
    member->crew = crew;
    member->role = role;
    member->place = place;
    member->page = role ? -1 : shared_take_page(crew->begin->shared);
    member->child = child_new(crew->loop, name, &member_events, member);
    while (*last)
        last = &(*last)->next;
    *last = member;
    return member;
}

static void member_free(struct crew *crew, struct member *member)
{
    struct member **link = &crew->members;

    while (*link != member) {
        assert(*link); // it is in the list
        link = &(*link)->next;
    }
    *link = member->next;
    child_free(&member->child);
    if (member->page >= 0)
        shared_give_page(crew->begin->shared, member->page);
    free(member);
}

static int run_worker(const struct member *member, int channel)
{
    const struct crew_begin *begin = member->crew->begin;
    static struct metrics uncounted; // when too many generations drain at once for all to count
    struct worker_setup setup = {
        .name = child_name(member->child),
        .place = member->place,
        .channel = channel,
        .verbosity = begin->verbosity,
        .config = begin->config,
        .listeners = begin->listeners,
        .resolv_conf = begin->names.resolv_conf,
        .hosts = begin->names.hosts,
        .via_pseudonym = begin->via_pseudonym,
        .metrics = member->page >= 0 ? shared_metrics(begin->shared, member->page) : &uncounted,
        .stubs = begin->stubs,
        .visit_secret = begin->visit_secret,
        .site_secret = begin->site_secret,
        .rules = begin->rules,
        .access_log = begin->access_log,
        .passes = begin->passes,
        .passes_bytes = begin->passes_bytes,
        .follow = begin->follow,
        .authority = begin->authority,
        .trust = begin->trust,
        .learned = begin->learned,
        .tickets = &begin->tickets,
        .local = -1,
    };

    if (member->page >= 0)
        shared_keep_only(begin->shared, member->page);
    return worker_run(&setup);
}

static int run_member(void *owner, int channel)
{
    const struct member *member = owner;
    struct crew_start start = { member->crew->begin, channel };

    return member->role ? member->role->run(&start) : run_worker(member, channel);
}

/* A line of its own between a worker and a process beside the workers. */
static void acquaint(struct member *worker, struct member *other)
{
    struct message line = message_of(other->role->line);
    struct error error;
    int ends[2];

    if (message_channel(ends, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        return;
    }
    if (line.type == MESSAGE_SIGNER)
        line.number.number = worker->place;
    line.fd = ends[0];
    child_send(worker->child, &line);
    line.fd = ends[1];
    child_send(other->child, &line);
    close(ends[0]);
    close(ends[1]);
}

static void on_started(void *owner, int pid)
{
    struct member *member = owner;
    struct crew *crew = member->crew;

    log_info("%s is pid %d", child_name(member->child), pid);
    for (struct member *other = crew->members; other; other = other->next) {
        if (child_pid(other->child) == 0 || other == member)
            continue;
        if (!member->role && other->role && other->role->line != MESSAGE_NONE)
            acquaint(member, other);
        else if (member->role && member->role->line != MESSAGE_NONE && !other->role)
            acquaint(other, member);
    }
}

static bool is_complete(const struct crew *crew)
{
    for (const struct member *member = crew->members; member; member = member->next)
        if (!member->is_retired && child_phase(member->child) != CHILD_SERVING)
            return false;
    return crew->size > 0;
}

static void on_ready(void *owner)
{
    struct member *member = owner;
    struct crew *crew = member->crew;

    log_debug("%s serves", child_name(member->child));
    crew->events->on_changed(crew->owner);
    if (crew->was_complete || !is_complete(crew))
        return;
    crew->was_complete = true;
    crew->events->on_complete(crew->owner);
}

static void log_end(const struct member *member, int status)
{
    const char *name = child_name(member->child);

    if (WIFSIGNALED(status))
        log_error("%s was ended by signal %d (%s)", name, WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        log_error("%s ended with exit code %d", name, WEXITSTATUS(status));
    else
        log_info("%s ended", name);
}

/* ---- drain ---- */

static bool has_workers(const struct crew *crew)
{
    for (const struct member *member = crew->members; member; member = member->next)
        if (!member->role)
            return true;
    return false;
}

static void send_drain(struct crew *crew, bool to_workers, int64_t within_ms)
{
    struct message drain = message_of(MESSAGE_DRAIN);

    drain.drain.within_ms = within_ms;
    for (struct member *member = crew->members; member; member = member->next)
        if ((member->role == NULL) == to_workers)
            child_send(member->child, &drain);
}

static void check_drained(struct crew *crew)
{
    if (!crew->is_draining || has_workers(crew))
        return;
    if (!crew->members) {
        loop_timer_stop(&crew->deadline);
        crew->events->on_empty(crew->owner);
        return;
    }
    if (crew->others_drain)
        return;
    crew->others_drain = true;
    send_drain(crew, false, OTHERS_DRAIN_MS);
    loop_timer_set(&crew->deadline, OTHERS_DRAIN_MS);
}

static void on_deadline(void *owner)
{
    struct crew *crew = owner;

    for (struct member *member = crew->members; member; member = member->next)
        if (!member->role || crew->others_drain)
            child_kill(member->child, "its time to drain is over");
}

void crew_drain(struct crew *crew, int64_t within_ms)
{
    struct member *next;

    crew->is_draining = true;
    for (struct member *member = crew->members; member; member = next) {
        next = member->next;
        if (child_pid(member->child) == 0) // waits for its next start, which is off
            member_free(crew, member);
    }
    send_drain(crew, true, within_ms);
    if (within_ms >= 0)
        loop_timer_set(&crew->deadline, (uint64_t)within_ms + GRACE_MS);
    check_drained(crew);
}

/* ---- configure ---- */

static void check_configured(struct crew *crew)
{
    if (!crew->is_configuring)
        return;
    for (const struct member *member = crew->members; member; member = member->next)
        if (member->owes_answer)
            return;
    crew->is_configuring = false;
    loop_later(crew->loop, &crew->configured);
}

static void on_all_answered(void *owner)
{
    struct crew *crew = owner;

    crew->events->on_configured(crew->owner);
}

static void retire(struct crew *crew, struct member *member)
{
    struct message drain = message_of(MESSAGE_DRAIN);

    drain.drain.within_ms = (int64_t)crew->begin->config->drain_ms;
    member->is_retired = true;
    member->owes_answer = false;
    if (child_pid(member->child) == 0)
        member_free(crew, member);
    else
        child_send(member->child, &drain);
}

static void see_answer(struct member *member, const struct message_configured *answer)
{
    struct crew *crew = member->crew;

    if (!member->owes_answer || answer->generation != crew->generation)
        return;
    member->owes_answer = false;
    if (answer->kind != ERROR_NONE) {
        log_error("%s does not take the new config and is replaced: %s", child_name(member->child),
                  answer->text);
        if (member->role) {
            child_kill(member->child, "it has an old config");
        } else {
            size_t place = member->place;
            retire(crew, member);
            child_start(member_new(crew, NULL, place)->child);
        }
    }
    check_configured(crew);
}

void crew_configure(struct crew *crew, const struct message *configure)
{
    crew->generation = configure->parcel.generation;
    crew->is_configuring = true;
    for (struct member *member = crew->members; member; member = member->next)
        member->owes_answer = !member->is_retired && child_send(member->child, configure);
    check_configured(crew);
}

bool crew_is_settled(const struct crew *crew)
{
    for (const struct member *member = crew->members; member; member = member->next)
        if (member->owes_taken > 0)
            return false;
    return true;
}

static void check_settled(struct crew *crew)
{
    if (crew_is_settled(crew))
        crew->events->on_settled(crew->owner);
}

/* ---- events of a member ---- */

static void on_message(void *owner, struct message *message)
{
    struct member *member = owner;
    struct crew *crew = member->crew;

    switch (message->type) {
    case MESSAGE_RELOAD:
    case MESSAGE_PASSES:
    case MESSAGE_LEARNED:
    case MESSAGE_AUTHORITY:
    case MESSAGE_FOLLOW:
    case MESSAGE_NO_FOLLOW:
        if (member->role)
            crew->events->on_asked(crew->owner, message);
        else
            child_kill(member->child, "it sent what is not its business");
        break;
    case MESSAGE_TAKEN:
        if (member->owes_taken > 0 && --member->owes_taken == 0)
            check_settled(crew);
        break;
    case MESSAGE_CONFIGURED:
        see_answer(member, &message->configured);
        break;
    case MESSAGE_DRAINED:
        log_debug("%s has drained", child_name(member->child));
        break;
    default:
        child_kill(member->child, "it sent what it should not");
        break;
    }
    if (message->fd >= 0)
        close(message->fd);
}

static bool on_ended(void *owner, int status)
{
    struct member *member = owner;
    struct crew *crew = member->crew;

    if (!member->is_replaced)
        log_end(member, status);
    if (member->page >= 0)
        metrics_reset_gauges(shared_metrics(crew->begin->shared, member->page));
    member->owes_answer = false;
    if (member->owes_taken > 0) {
        member->owes_taken = 0;
        check_settled(crew);
    }
    if (crew->is_draining || member->is_retired) {
        member_free(crew, member);
        check_drained(crew);
        check_configured(crew);
        return false;
    }
    if (member->is_replaced) {
        member->is_replaced = false;
        check_configured(crew);
        child_start(member->child);
        return false;
    }
    if (!crew->was_complete && WIFEXITED(status) && WEXITSTATUS(status) != EX_TEMPFAIL) {
        crew->events->on_hopeless(crew->owner, WEXITSTATUS(status));
        return false;
    }
    crew->restarts++;
    check_configured(crew);
    crew->events->on_changed(crew->owner);
    return true;
}

static const struct child_events member_events = {
    .run = run_member,
    .on_started = on_started,
    .on_ready = on_ready,
    .on_message = on_message,
    .on_ended = on_ended,
};

/* ---- the crew ---- */

struct crew *crew_new(struct loop *loop, const struct crew_begin *begin,
                      const struct crew_role *roles, size_t role_count,
                      const struct crew_events *events, void *owner)
{
    struct crew *crew = calloc(1, sizeof *crew);

    if (!crew)
        abort();
    crew->loop = loop;
    crew->begin = begin;
    crew->roles = roles;
    crew->role_count = role_count;
    crew->events = events;
    crew->owner = owner;
    loop_timer_init(&crew->deadline, loop, on_deadline, crew);
    crew->configured = (struct loop_task){ .run = on_all_answered, .owner = crew };
    return crew;
}

void crew_free(struct crew **crew)
{
    struct crew *old = *crew;

    if (!old)
        return;
    while (old->members)
        member_free(old, old->members);
    loop_timer_stop(&old->deadline);
    loop_later_cancel(old->loop, &old->configured);
    free(old);
    *crew = NULL;
}

static struct member *find(const struct crew *crew, const struct crew_role *role, size_t place)
{
    for (struct member *member = crew->members; member; member = member->next)
        if (member->role == role && member->place == place && !member->is_retired)
            return member;
    return NULL;
}

void crew_start_others(struct crew *crew)
{
    for (size_t i = 0; i < crew->role_count; i++)
        if (!find(crew, &crew->roles[i], 0))
            child_start(member_new(crew, &crew->roles[i], 0)->child);
}

void crew_replace(struct crew *crew, const struct crew_role *role)
{
    struct member *member = find(crew, role, 0);
    const struct message drain = message_of(MESSAGE_DRAIN);

    if (!member || child_pid(member->child) == 0) // it begins with what is in force, anyway
        return;
    member->is_replaced = child_send(member->child, &drain);
}

void crew_set_size(struct crew *crew, size_t workers)
{
    struct member *next;

    assert(workers >= 1 && workers <= CREW_WORKERS && !crew->is_draining);
    crew->size = workers;
    for (struct member *member = crew->members; member; member = next) {
        next = member->next;
        if (!member->role && !member->is_retired && member->place >= workers)
            retire(crew, member);
    }
    crew_start_others(crew);
    for (size_t i = 0; i < workers; i++)
        if (!find(crew, NULL, i))
            child_start(member_new(crew, NULL, i)->child);
}

void crew_tell_workers(struct crew *crew, const struct message *message)
{
    bool is_answered = message->type == MESSAGE_PASSES || message->type == MESSAGE_LEARNED ||
                       message->type == MESSAGE_RULES;

    for (struct member *member = crew->members; member; member = member->next)
        if (!member->role && child_send(member->child, message))
            member->owes_taken += is_answered;
}

void crew_tell_others(struct crew *crew, const struct message *message)
{
    for (struct member *member = crew->members; member; member = member->next)
        if (member->role)
            child_send(member->child, message);
}

void crew_listen(struct crew *crew, const struct listener *listener)
{
    for (struct member *member = crew->members; member; member = member->next) {
        struct message listen = message_of(MESSAGE_LISTEN);

        listen.fd = listener_fd(listener, member->place);
        if (member->role || member->is_retired || listen.fd < 0)
            continue;
        snprintf(listen.listener.name, sizeof listen.listener.name, "%s", listener->name);
        listen.listener.place = (uint32_t)member->place;
        listen.listener.is_shared = listener->is_shared;
        listen.listener.is_passed = listener->is_passed;
        child_send(member->child, &listen);
    }
}

struct crew_counts crew_counts(const struct crew *crew)
{
    struct crew_counts counts = { .restarts = crew->restarts };

    for (const struct member *member = crew->members; member; member = member->next) {
        if (member->role)
            continue;
        counts.retired += member->is_retired;
        counts.workers += !member->is_retired;
        counts.serving_workers +=
            !member->is_retired && child_phase(member->child) == CHILD_SERVING;
    }
    return counts;
}

void crew_dump(const struct crew *crew)
{
    static const char *const phases[] = { "idle", "starting", "serving", "ended" };

    for (const struct member *member = crew->members; member; member = member->next)
        log_notice("%s: pid=%d phase=%s retired=%s", child_name(member->child),
                   child_pid(member->child), phases[child_phase(member->child)],
                   member->is_retired ? "yes" : "no");
}
