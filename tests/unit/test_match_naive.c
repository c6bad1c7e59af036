/* The engine against a matcher that has no index: made-up rules and requests, on which both must
 * say the same. DEJUNK_PAIRS says how many pairs of a rule and a request (1,000,000; 100,000 under
 * sanitizers), DEJUNK_SEED where the generator begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../naive_cases.h"

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void agrees_with_the_naive_matcher(void **state)
{
    const char *sanitizers = getenv("DEJUNK_SAN");
    uint64_t usual = sanitizers && *sanitizers ? 100000 : 1000000;
    uint64_t wanted = number_from("DEJUNK_PAIRS", usual), seed = number_from("DEJUNK_SEED", 1);
    uint64_t pairs = 0;
    unsigned hits = 0;

    (void)state;
    for (uint64_t round = 0; pairs < wanted; round++) {
        struct chooser chooser = { .state = (seed + round) * 0x9E3779B97F4A7C15u | 1 };
        unsigned compared;

        for (int i = 0; i < 4; i++)
            choose(&chooser, 2); // away from the seed
        compared = compare_once(&chooser, &hits);
        if (compared == 0)
            fail_msg("they disagree: DEJUNK_SEED=%llu, %llu pairs before",
                     (unsigned long long)(seed + round), (unsigned long long)pairs);
        pairs += compared;
    }
    print_message("# %llu pairs, %u matched\n", (unsigned long long)pairs, hits);
    assert_true(hits > wanted / 50); // else it shows nothing
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_the_naive_matcher) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
