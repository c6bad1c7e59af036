/* Timers, tasks, burials and guests: order, laziness, and that nothing keeps a loop awake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "io/loop.h"

static struct {
    struct loop *loop;
    char trace[200];
    struct loop_timer a, b, c;
    struct loop_task first, second, third;
    uint64_t began_ms;
    unsigned rounds;
} room;

static int set_up(void **state)
{
    (void)state;
    memset(&room, 0, sizeof room);
    return loop_new(&room.loop, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(&room.loop);
    assert_null(room.loop);
    return 0;
}

static void note(const char *what)
{
    size_t used = strlen(room.trace);

    snprintf(room.trace + used, sizeof room.trace - used, "%s ", what);
}

static void expire_a(void *owner)
{
    (void)owner;
    note("a");
}

static void expire_b(void *owner)
{
    (void)owner;
    note("b");
}

static void expire_c(void *owner)
{
    (void)owner;
    note("c");
}

static void a_loop_with_nothing_ends(void **state)
{
    (void)state;
    loop_run(room.loop);
}

static void timers_expire_in_order_and_not_early(void **state)
{
    uint64_t began_ms = loop_now_ms(room.loop);

    (void)state;
    loop_timer_init(&room.a, room.loop, expire_a, NULL);
    loop_timer_init(&room.b, room.loop, expire_b, NULL);
    loop_timer_init(&room.c, room.loop, expire_c, NULL);
    loop_timer_set(&room.a, 30);
    loop_timer_set(&room.b, 10);
    loop_timer_set(&room.c, 0);
    assert_true(loop_timer_is_set(&room.a));
    loop_run(room.loop);
    assert_string_equal(room.trace, "c b a ");
    assert_true(loop_now_ms(room.loop) >= began_ms + 30);
    assert_false(loop_timer_is_set(&room.a));
}

static void push_a_ahead(void *owner)
{
    (void)owner;
    note("b");
    loop_timer_set(&room.a, 40);
}

static void a_deadline_moved_away_is_kept(void **state)
{
    uint64_t began_ms = loop_now_ms(room.loop);

    (void)state;
    loop_timer_init(&room.a, room.loop, expire_a, NULL);
    loop_timer_init(&room.b, room.loop, push_a_ahead, NULL);
    loop_timer_set(&room.a, 20);
    loop_timer_set(&room.b, 10);
    loop_run(room.loop);
    assert_string_equal(room.trace, "b a ");
    assert_true(loop_now_ms(room.loop) >= began_ms + 50);
}

static void a_deadline_moved_nearer_is_kept(void **state)
{
    uint64_t began_ms = loop_now_ms(room.loop);

    (void)state;
    loop_timer_init(&room.a, room.loop, expire_a, NULL);
    loop_timer_set(&room.a, 60000);
    loop_timer_set(&room.a, UINT64_MAX);
    loop_timer_set(&room.a, 10);
    loop_run(room.loop);
    assert_string_equal(room.trace, "a ");
    assert_true(loop_now_ms(room.loop) < began_ms + 30000);
}

static void stop_a(void *owner)
{
    (void)owner;
    note("c");
    loop_timer_stop(&room.a);
    assert_false(loop_timer_is_set(&room.a));
}

static void a_stopped_timer_is_silent(void **state)
{
    (void)state;
    loop_timer_stop(&room.b); // never begun
    loop_timer_init(&room.a, room.loop, expire_a, NULL);
    loop_timer_init(&room.c, room.loop, stop_a, NULL);
    loop_timer_set(&room.a, 5);
    loop_timer_set(&room.c, 0);
    loop_run(room.loop);
    assert_string_equal(room.trace, "c ");
}

static void again(void *owner)
{
    (void)owner;
    note("again");
    if (++room.rounds < 3)
        loop_timer_set(&room.a, 1);
}

static void a_timer_may_set_itself(void **state)
{
    (void)state;
    loop_timer_init(&room.a, room.loop, again, NULL);
    loop_timer_set(&room.a, 1);
    loop_run(room.loop);
    assert_string_equal(room.trace, "again again again ");
}

static void run_first(void *owner)
{
    (void)owner;
    note("first");
}

static void run_second(void *owner)
{
    (void)owner;
    note("second");
}

static void run_third(void *owner)
{
    (void)owner;
    note("third");
    if (++room.rounds < 3)
        loop_later(room.loop, &room.third);
    loop_later_cancel(room.loop, &room.second);
}

static void tasks_run_in_order_and_once(void **state)
{
    (void)state;
    room.first = (struct loop_task){ .run = run_first };
    room.second = (struct loop_task){ .run = run_second };
    loop_later(room.loop, &room.second);
    loop_later(room.loop, &room.first);
    loop_later(room.loop, &room.second);
    loop_run(room.loop);
    assert_string_equal(room.trace, "second first ");
}

static void a_task_may_queue_itself_and_cancel_others(void **state)
{
    (void)state;
    room.first = (struct loop_task){ .run = run_first };
    room.second = (struct loop_task){ .run = run_second };
    room.third = (struct loop_task){ .run = run_third };
    loop_later(room.loop, &room.third);
    loop_later(room.loop, &room.first);
    loop_later(room.loop, &room.second); // the last in line, taken out while the line runs
    loop_run(room.loop);
    assert_string_equal(room.trace, "third first third third ");
}

static void the_last_in_line_may_be_cancelled(void **state)
{
    (void)state;
    room.first = (struct loop_task){ .run = run_first };
    room.second = (struct loop_task){ .run = run_second };
    loop_later(room.loop, &room.first);
    loop_later(room.loop, &room.second);
    loop_later_cancel(room.loop, &room.second);
    loop_later_cancel(room.loop, &room.second);
    loop_later(room.loop, &room.second);
    loop_later_cancel(room.loop, &room.first);
    loop_later(room.loop, &room.first);
    loop_run(room.loop);
    assert_string_equal(room.trace, "second first ");
}

static void queue_first(void *owner)
{
    (void)owner;
    note("a");
    loop_later(room.loop, &room.first);
}

static void a_task_of_the_last_event_still_runs(void **state)
{
    (void)state;
    room.first = (struct loop_task){ .run = run_first };
    loop_timer_init(&room.a, room.loop, queue_first, NULL);
    loop_timer_set(&room.a, 1);
    loop_run(room.loop);
    assert_string_equal(room.trace, "a first ");
}

static struct loop_grave grave, other_grave;

static void dig_other(struct loop_grave *dug)
{
    assert_ptr_equal(dug, &other_grave);
    note("dug-other");
}

static void dig(struct loop_grave *dug)
{
    assert_ptr_equal(dug, &grave);
    note("dug");
    loop_bury(room.loop, &other_grave, dig_other);
}

static void bury(void *owner)
{
    (void)owner;
    loop_bury(room.loop, &grave, dig);
    loop_later(room.loop, &room.first);
    note("buried");
}

static void the_dead_are_dug_after_all_callbacks(void **state)
{
    (void)state;
    room.first = (struct loop_task){ .run = run_first };
    loop_timer_init(&room.a, room.loop, bury, NULL);
    loop_timer_init(&room.b, room.loop, expire_b, NULL);
    loop_timer_set(&room.a, 0);
    loop_timer_set(&room.b, 0);
    loop_run(room.loop);
    assert_non_null(strstr(room.trace, "first dug dug-other "));
    assert_non_null(strstr(room.trace, "b "));
}

static void stop_the_loop(void *owner)
{
    (void)owner;
    note("stop");
    loop_bury(room.loop, &grave, dig);
    loop_stop(room.loop);
}

static void a_stopped_loop_may_go_on(void **state)
{
    (void)state;
    loop_timer_init(&room.a, room.loop, stop_the_loop, NULL);
    loop_timer_init(&room.b, room.loop, expire_b, NULL);
    loop_timer_set(&room.a, 0);
    loop_timer_set(&room.b, 5);
    loop_run(room.loop);
    assert_string_equal(room.trace, "stop dug dug-other ");
    loop_run(room.loop);
    assert_string_equal(room.trace, "stop dug dug-other b ");
}

static struct loop *ending;

static void evict(struct loop_guest *guest)
{
    note("evicted");
    loop_guest_leave(ending, guest);
}

static void guests_are_evicted_at_the_end(void **state)
{
    struct loop_guest stays = { 0 }, leaves = { 0 }, stays_too = { 0 };

    (void)state;
    loop_guest_enter(room.loop, &stays, evict);
    loop_guest_enter(room.loop, &leaves, evict);
    loop_guest_enter(room.loop, &stays_too, evict);
    loop_guest_leave(room.loop, &leaves);
    assert_int_equal(room.loop->guest_count, 2);
    ending = room.loop;
    loop_free(&room.loop);
    assert_string_equal(room.trace, "evicted evicted ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_loop_with_nothing_ends),
        TEST(timers_expire_in_order_and_not_early),
        TEST(a_deadline_moved_away_is_kept),
        TEST(a_deadline_moved_nearer_is_kept),
        TEST(a_stopped_timer_is_silent),
        TEST(a_timer_may_set_itself),
        TEST(tasks_run_in_order_and_once),
        TEST(a_task_may_queue_itself_and_cancel_others),
        TEST(the_last_in_line_may_be_cancelled),
        TEST(a_task_of_the_last_event_still_runs),
        TEST(the_dead_are_dug_after_all_callbacks),
        TEST(a_stopped_loop_may_go_on),
        TEST(guests_are_evicted_at_the_end),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
