// Selection of points: farthest-point sampling, and the nearest points of queries.
#pragma once

namespace ditkit {

class Decoder;

void push_farthest_points(Decoder& in);
void push_nearest_points(Decoder& in);

}  // namespace ditkit
