import logging from './logging.cjs'

export const { TopicStream, transport } = logging
export default transport
