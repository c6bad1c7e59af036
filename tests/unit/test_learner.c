/* The keeper of what was learned: what is pushed when, what is on disk, what people see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/keep.h"
#include "admin/learner.h"

#define HEAD "dejunk learned 1\n"

struct scene {
    struct loop *loop;
    char directory[64], path[80];
    struct learner *learner;
    struct buffer last; // what was pushed last
    size_t pushed, wanted;
};

static void push(void *owner, struct span text)
{
    struct scene *scene = owner;

    buffer_release(&scene->last);
    assert_true(buffer_append(&scene->last, text));
    assert_true(buffer_append(&scene->last, span_of("", 1)));
    if (++scene->pushed == scene->wanted)
        loop_stop(scene->loop);
}

static void begin(struct scene *scene, bool is_kept)
{
    scene->learner = learner_new(scene->loop, is_kept ? scene->directory : "", push, scene);
}

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){ .last = { .limit_bytes = LEARNED_TEXT_BYTES + 1 } };
    assert_int_equal(loop_new(&scene->loop, NULL), ERROR_NONE);
    snprintf(scene->directory, sizeof scene->directory, "/tmp/dejunk-learner-XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    snprintf(scene->path, sizeof scene->path, "%s/learned", scene->directory);
}

static void close_scene(struct scene *scene)
{
    char aside[96];

    learner_free(&scene->learner);
    loop_free(&scene->loop);
    buffer_release(&scene->last);
    snprintf(aside, sizeof aside, "%s" KEEP_ASIDE, scene->path);
    unlink(aside);
    unlink(scene->path);
    assert_int_equal(rmdir(scene->directory), 0);
}

static void note(struct scene *scene, enum learned_kind kind, const char *host)
{
    const struct learned_event event = {
        .kind = kind,
        .who = { .address = SPAN("10.0.0.1"), .family = 0xf1, .host = span_text(host) }
    };
    char packet[LEARNED_PACKET_BYTES];

    learner_take_note(scene->learner, span_of(packet, learned_encode(packet, &event)));
}

static bool is_on_disk(const struct scene *scene, const char *part)
{
    struct buffer text = { .limit_bytes = LEARNED_TEXT_BYTES };
    bool has = false;

    assert_int_equal(keep_read(scene->path, &text, NULL), ERROR_NONE);
    if (text.size > 0)
        has = memmem(text.at, text.size, part, strlen(part)) != NULL;
    buffer_release(&text);
    return has;
}

static void decisions_go_at_once_and_evidence_together(void **state)
{
    struct scene scene;

    (void)state;
    open_scene(&scene);
    begin(&scene, true);
    assert_int_equal(scene.pushed, 1);
    assert_string_equal(scene.last.at, HEAD "end 0\n");
    note(&scene, LEARNED_ACCEPTED, "a"); // nothing follows from it
    note(&scene, LEARNED_CLOSED, "a");
    note(&scene, LEARNED_CLOSED, "b");
    assert_int_equal(scene.pushed, 1);
    scene.wanted = 2;
    loop_run(scene.loop);
    assert_int_equal(scene.pushed, 2);
    assert_non_null(strstr(scene.last.at, "closed 10.0.0.1 00000000000000f1 a "));
    assert_non_null(strstr(scene.last.at, "closed 10.0.0.1 00000000000000f1 b "));
    assert_true(is_on_disk(&scene, "closed 10.0.0.1 00000000000000f1 b "));
    scene.wanted = 3;
    note(&scene, LEARNED_REFUSED, "c");
    while (scene.pushed < 3) // some time after the last
        loop_run(scene.loop);
    assert_int_equal(scene.pushed, 3);
    assert_non_null(strstr(scene.last.at, "tunnel 10.0.0.1 00000000000000f1 c "));
    assert_false(is_on_disk(&scene, "tunnel"));
    learner_free(&scene.learner); // writes what is not written
    assert_true(is_on_disk(&scene, "tunnel"));
    begin(&scene, true);
    assert_non_null(strstr(scene.last.at, "tunnel 10.0.0.1 00000000000000f1 c "));
    assert_int_equal(learner_counts(scene.learner).tunnels, 1);
    close_scene(&scene);
}

static void commands_are_kept_at_once(void **state)
{
    struct scene scene;
    struct buffer text = { .limit_bytes = 1000 };
    struct error error;
    size_t count;

    (void)state;
    open_scene(&scene);
    begin(&scene, true);
    assert_int_equal(learner_enrol(scene.learner, SPAN("10.0.0.1"), 0, LEARNED_ALWAYS, &error),
                     ERROR_NONE);
    assert_int_equal(scene.pushed, 2);
    assert_true(is_on_disk(&scene, "enrolled 10.0.0.1 any "));
    assert_true(learner_show_enrolled(scene.learner, &text));
    assert_true(span_equal(buffer_span(&text),
                           SPAN("10.0.0.1 family=any enrolled 0 s ago (by-hand), for good\n")));
    for (int i = 0; i < 3; i++)
        note(&scene, LEARNED_REFUSED, i == 0 ? "a" : i == 1 ? "b" : "c");
    buffer_release(&text);
    assert_true(learner_show_enrolled(scene.learner, &text));
    assert_true(
        span_equal(buffer_span(&text),
                   SPAN("10.0.0.1 family=any ENDED, enrolled 0 s ago (by-hand); refused: a, "
                        "b, c\n")));
    buffer_release(&text);
    assert_true(learner_show_tunnels(scene.learner, &text));
    assert_non_null(
        memmem(text.at, text.size, "b client=10.0.0.1 family=00000000000000f1 refused", 49));
    assert_int_equal(learner_forget(scene.learner, SPAN("b"), &count, &error), ERROR_NONE);
    assert_int_equal(count, 1);
    assert_false(is_on_disk(&scene, "f1 b "));
    assert_int_equal(learner_forget(scene.learner, SPAN("b"), &count, &error), ERROR_SYNTAX);
    assert_int_equal(learner_unenrol(scene.learner, SPAN("10.0.0.1"), 0, &error), ERROR_NONE);
    assert_int_equal(learner_unenrol(scene.learner, SPAN("10.0.0.1"), 0, &error), ERROR_SYNTAX);
    assert_int_equal(learner_enrol(scene.learner, SPAN("ann"), 0, 7, &error), ERROR_SYNTAX);
    buffer_release(&text);
    text.limit_bytes = 10;
    assert_false(learner_show_tunnels(scene.learner, &text));
    buffer_release(&text);
    close_scene(&scene);
}

static void without_a_directory_it_is_in_force_all_the_same(void **state)
{
    struct scene scene;
    struct error error;

    (void)state;
    open_scene(&scene);
    begin(&scene, false);
    assert_int_equal(learner_enrol(scene.learner, SPAN("10.0.0.1"), 0, LEARNED_ALWAYS, &error),
                     ERROR_LIMIT);
    assert_non_null(strstr(scene.last.at, "enrolled 10.0.0.1 any "));
    note(&scene, LEARNED_REFUSED, "a");
    close_scene(&scene);
}

static void damage_is_put_aside_and_what_is_no_note_ignored(void **state)
{
    struct scene scene;
    char aside[96];

    (void)state;
    open_scene(&scene);
    assert_int_equal(keep_write(scene.path, SPAN(HEAD "enrolled x\nend 1\n"), 0600, NULL, NULL),
                     ERROR_NONE);
    begin(&scene, true);
    assert_string_equal(scene.last.at, HEAD "end 0\n");
    snprintf(aside, sizeof aside, "%s" KEEP_ASIDE, scene.path);
    assert_int_equal(access(aside, F_OK), 0);
    learner_take_note(scene.learner, SPAN("nonsense"));
    learner_take_note(scene.learner, SPAN_NONE);
    assert_int_equal(scene.pushed, 1);

    // another process has written it meanwhile
    assert_int_equal(keep_write(scene.path,
                                SPAN(HEAD "enrolled 10.0.0.2 any 5 always by-hand\nend 1\n"), 0600,
                                NULL, NULL),
                     ERROR_NONE);
    learner_read_again(scene.learner);
    assert_int_equal(learner_counts(scene.learner).enrolments, 1);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_go_at_once_and_evidence_together),
        cmocka_unit_test(commands_are_kept_at_once),
        cmocka_unit_test(without_a_directory_it_is_in_force_all_the_same),
        cmocka_unit_test(damage_is_put_aside_and_what_is_no_note_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
