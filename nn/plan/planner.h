/* Chooses how a network runs on given machines and a given network: per linear layer the HE set and the tile, and for sessions the kind of OT and the sign provider. All of
 * it becomes part of the public plan (he=, tile=; sign=, ot= of the input); a client may ask for other sessions. Ring widths, truncations and the width of signs stay as they are.
 *
 * What is minimised is the time of sotto_forecast_new. A layer's choices matter by five numbers: work and bytes of either side and the client's work on answers; of those
 * that no other choice of the layer beats in all five, all combinations are compared, layer by layer: what reaches a step with all clocks later than another does is dropped
 * (the clocks that follow are monotone in them). When too many are left, those that are later but for a slack are dropped as well; the slacks add up to what the
 * result may be above the least, at most. The clocks of this search know neither full connections nor two parties on one machine; of all that is left at the end, and between
 * sessions, the forecast decides, which does.
 */
#ifndef SOTTO_NN_PLAN_PLANNER_H
#define SOTTO_NN_PLAN_PLANNER_H

#include "nn/plan/forecast.h"

typedef enum sotto_goal {
    SOTTO_GOAL_PREPARE, /* least prepare, then least infer */
    SOTTO_GOAL_INFER,   /* the other way round */
    SOTTO_GOAL_SUM
} sotto_goal;

typedef struct sotto_wish {
    sotto_conditions conditions;
    sotto_goal goal;
    int label_only;        /* sessions give the label alone */
    int any_sign, any_ot;     /* to be chosen; else these: */
    sotto_sign_provider sign;
    sotto_ot_kind ot;
} sotto_wish;

typedef struct sotto_choice {
    sotto_sign_provider sign;
    sotto_ot_kind ot;
    double prepare, infer; /* as the forecast has them */
    double slack;          /* seconds by which prepare may exceed the least with these terms */
} sotto_choice;

/* Sets he_*, tile of every linear node of m and sign, ot of its input, whose plan is there otherwise; sets are those of conditions.costs. m has to be printed or saved again. SOTTO_ERR_PARAMS with
 * the node when no set holds, or no provider its signs; m is unchanged on failure. */
SOTTO_MUST_CHECK int sotto_planner_choose(sotto_model *m, sotto_choice *choice, const sotto_wish *wish);

#endif
